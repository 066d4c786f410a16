"""SDSeg for 3D Slicer: single-step latent diffusion segmentation of CT.

The functions that scripts use most often; each is imported at its first use:

    segmenter = SDSegLib.load_segmenter("head-neck-oar")
    result = segmenter.segment(SDSegLib.read_volume("ct.nii.gz"))
    SDSegLib.write_seg_nrrd(result, "organs.seg.nrrd")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .version import VERSION

if TYPE_CHECKING:
    from .cases.collection import CaseCollection
    from .cases.findings import check_cases
    from .export.label_map import write_label_map
    from .export.seg_nrrd import write_seg_nrrd
    from .inference.load import load_segmenter
    from .models.fit import choose_model, rank_models
    from .operations.base import OpenVolume
    from .operations.propagate import propagate
    from .options import RunOptions
    from .reading.files import read_volume
    from .studies.find import Study
    from .studies.segment import StudyOptions, segment_study
    from .teaching.cases import open_cases
    from .teaching.options import TeachOptions
    from .teaching.run import teach
    from .volume.judgement import judge_input, judge_result

__version__ = VERSION
__all__ = [
    "CaseCollection",
    "OpenVolume",
    "RunOptions",
    "Study",
    "StudyOptions",
    "TeachOptions",
    "__version__",
    "check_cases",
    "choose_model",
    "judge_input",
    "judge_result",
    "load_segmenter",
    "open_cases",
    "propagate",
    "rank_models",
    "read_volume",
    "segment_study",
    "teach",
    "write_label_map",
    "write_seg_nrrd",
]

_HOMES = {
    "CaseCollection": ".cases.collection",
    "OpenVolume": ".operations.base",
    "RunOptions": ".options",
    "Study": ".studies.find",
    "StudyOptions": ".studies.segment",
    "TeachOptions": ".teaching.options",
    "check_cases": ".cases.findings",
    "choose_model": ".models.fit",
    "judge_input": ".volume.judgement",
    "judge_result": ".volume.judgement",
    "load_segmenter": ".inference.load",
    "open_cases": ".teaching.cases",
    "propagate": ".operations.propagate",
    "rank_models": ".models.fit",
    "read_volume": ".reading.files",
    "segment_study": ".studies.segment",
    "teach": ".teaching.run",
    "write_label_map": ".export.label_map",
    "write_seg_nrrd": ".export.seg_nrrd",
}


if not TYPE_CHECKING:  # a type checker shall know what is not there

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module(_HOMES[name], __name__), name)
