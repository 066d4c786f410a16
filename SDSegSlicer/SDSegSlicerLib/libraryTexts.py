"""Patterns of the library's texts that the window shows, translated as the module's own."""

from slicer.i18n import tr as _
from slicer.i18n import translate

_CONTEXT = "SDSegSlicerLib.libraryTexts"


def patterns() -> tuple[str, ...]:
    """The patterns; here lupdate finds them, since the library knows no Qt."""
    return (
        _("{seconds:.1f} s"),
        _("{seconds} s"),
        _("{minutes} min {seconds} s"),
        _("{hours} h {minutes} min"),
        _("{voxels} voxels of {millimeters} mm"),
    )


def libraryText(text: str) -> str:
    """Translation of a pattern; to be handed to functions of `SDSegLib.review.formatting`."""
    return str(translate(_CONTEXT, text))
