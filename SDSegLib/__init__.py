"""SDSeg for 3D Slicer: single-step latent diffusion segmentation of CT.

What scripts use most is here, loaded when it is first used:

    segmenter = SDSegLib.load_segmenter("head-neck-oar")
    result = segmenter.segment(SDSegLib.read_volume("ct.nii.gz"))
    SDSegLib.write_seg_nrrd(result, "organs.seg.nrrd")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .version import VERSION

if TYPE_CHECKING:
    from .export.label_map import write_label_map
    from .export.seg_nrrd import write_seg_nrrd
    from .inference.load import load_segmenter
    from .reading.files import read_volume

__version__ = VERSION
__all__ = ["__version__", "load_segmenter", "read_volume", "write_label_map", "write_seg_nrrd"]

_HOMES = {
    "load_segmenter": ".inference.load",
    "read_volume": ".reading.files",
    "write_label_map": ".export.label_map",
    "write_seg_nrrd": ".export.seg_nrrd",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name], __name__), name)
