"""SDSeg for 3D Slicer: single-step latent diffusion segmentation of CT.

The functions that scripts use most often, and the classes of their arguments and results; each is
imported at its first use:

    segmenter = SDSegLib.load_segmenter("head-neck-oar")
    result = segmenter.segment(SDSegLib.read_volume("ct.nii.gz"))
    SDSegLib.write_seg_nrrd(result, "organs.seg.nrrd")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .version import VERSION

if TYPE_CHECKING:
    from .cases.collection import CaseCollection
    from .cases.findings import CaseFinding, check_cases
    from .errors import (
        CancelledError,
        InputError,
        MissingPackageError,
        ModelError,
        OutputError,
        SDSegError,
    )
    from .export.dicom_seg import write_dicom_seg
    from .export.label_map import write_label_map
    from .export.seg_nrrd import write_seg_nrrd
    from .inference.load import load_segmenter
    from .inference.segmenter import Segmenter
    from .models.fit import ModelFit, choose_model, rank_models
    from .operations.base import OpenVolume
    from .operations.model_store import ModelStore
    from .operations.propagate import propagate
    from .options import RunOptions
    from .propagation.result import Propagation
    from .reading.dicom import Series
    from .reading.files import list_series, read_volume
    from .review.slices import ReviewSlice, slices_to_review
    from .studies.find import Study, find_studies
    from .studies.segment import StudyOptions, StudyResult, segment_study
    from .teaching.cases import TeachCases, open_cases
    from .teaching.options import TeachOptions, TeachResult
    from .teaching.run import teach
    from .volume.finding import Finding
    from .volume.geometry import Geometry
    from .volume.judgement import judge_input, judge_result
    from .volume.segmentation import Segmentation
    from .volume.volume import Volume

__version__ = VERSION
__all__ = [
    "CancelledError",
    "CaseCollection",
    "CaseFinding",
    "Finding",
    "Geometry",
    "InputError",
    "MissingPackageError",
    "ModelError",
    "ModelFit",
    "ModelStore",
    "OpenVolume",
    "OutputError",
    "Propagation",
    "ReviewSlice",
    "RunOptions",
    "SDSegError",
    "Segmentation",
    "Segmenter",
    "Series",
    "Study",
    "StudyOptions",
    "StudyResult",
    "TeachCases",
    "TeachOptions",
    "TeachResult",
    "Volume",
    "__version__",
    "check_cases",
    "choose_model",
    "find_studies",
    "judge_input",
    "judge_result",
    "list_series",
    "load_segmenter",
    "open_cases",
    "propagate",
    "rank_models",
    "read_volume",
    "segment_study",
    "slices_to_review",
    "teach",
    "write_dicom_seg",
    "write_label_map",
    "write_seg_nrrd",
]

_HOMES = {
    "CancelledError": ".errors",
    "CaseCollection": ".cases.collection",
    "CaseFinding": ".cases.findings",
    "Finding": ".volume.finding",
    "Geometry": ".volume.geometry",
    "InputError": ".errors",
    "MissingPackageError": ".errors",
    "ModelError": ".errors",
    "ModelFit": ".models.fit",
    "ModelStore": ".operations.model_store",
    "OpenVolume": ".operations.base",
    "OutputError": ".errors",
    "Propagation": ".propagation.result",
    "ReviewSlice": ".review.slices",
    "RunOptions": ".options",
    "SDSegError": ".errors",
    "Segmentation": ".volume.segmentation",
    "Segmenter": ".inference.segmenter",
    "Series": ".reading.dicom",
    "Study": ".studies.find",
    "StudyOptions": ".studies.segment",
    "StudyResult": ".studies.segment",
    "TeachCases": ".teaching.cases",
    "TeachOptions": ".teaching.options",
    "TeachResult": ".teaching.options",
    "Volume": ".volume.volume",
    "check_cases": ".cases.findings",
    "choose_model": ".models.fit",
    "find_studies": ".studies.find",
    "judge_input": ".volume.judgement",
    "judge_result": ".volume.judgement",
    "list_series": ".reading.files",
    "load_segmenter": ".inference.load",
    "open_cases": ".teaching.cases",
    "propagate": ".operations.propagate",
    "rank_models": ".models.fit",
    "read_volume": ".reading.files",
    "segment_study": ".studies.segment",
    "slices_to_review": ".review.slices",
    "teach": ".teaching.run",
    "write_dicom_seg": ".export.dicom_seg",
    "write_label_map": ".export.label_map",
    "write_seg_nrrd": ".export.seg_nrrd",
}


if not TYPE_CHECKING:  # a type checker shall know what is not there

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module(_HOMES[name], __name__), name)
