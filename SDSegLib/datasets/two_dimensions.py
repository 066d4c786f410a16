"""What networks see of 2-D pictures, as in the paper: the whole picture, 256 × 256."""

from __future__ import annotations

from ..volume.model_input import InputDescription


def picture_input(colored: bool) -> InputDescription:
    """Three channels in [−1, 1]: the colours, or a grey value thrice."""
    return InputDescription(
        size=(256, 256),
        spacing=None,
        axes="LPS",
        windows=((0.0, 255.0),),
        repeat=1 if colored else 3,
        outside=0.0,
        pictures="rgb" if colored else "grey",
    )
