"""A program that uses the whole public interface; `test_types.py` checks its types, nobody runs it.

`assert_type` makes sure that the interface has types of its own: `Any` would pass everywhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import sdseg
import SDSegLib
from sdseg import load_segmenter as load_by_other_name
from SDSegLib.errors import SDSegError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from typing_extensions import assert_type

    from SDSegLib.cases.findings import CaseFinding
    from SDSegLib.inference.segmenter import Segmenter
    from SDSegLib.models.fit import ModelFit
    from SDSegLib.propagation.result import Propagation
    from SDSegLib.studies.segment import StudyResult
    from SDSegLib.teaching.cases import TeachCases
    from SDSegLib.teaching.options import TeachResult
    from SDSegLib.volume.finding import Finding
    from SDSegLib.volume.segmentation import Segmentation
    from SDSegLib.volume.volume import Volume


def segment(ct: Path) -> Segmentation:
    volume = SDSegLib.read_volume(ct)
    assert_type(volume, Volume)
    fit = SDSegLib.choose_model(volume)
    assert_type(fit, ModelFit)
    assert_type(SDSegLib.rank_models(volume), list[ModelFit])
    segmenter = SDSegLib.load_segmenter("head-neck-oar")
    assert_type(segmenter, Segmenter)
    result = segmenter.segment(volume)
    assert_type(result, Segmentation)
    SDSegLib.write_seg_nrrd(result, ct.with_suffix(".seg.nrrd"))
    SDSegLib.write_label_map(result, ct.with_suffix(".nii.gz"))
    return result


def judge(volume: Volume, result: Segmentation) -> list[str]:
    expects = SDSegLib.choose_model(volume).model.description.expects
    findings = SDSegLib.judge_input(volume, expects)
    assert_type(findings, tuple[Finding, ...])
    return [finding.message for finding in (*findings, *SDSegLib.judge_result(result, expects))]


def carry(volume: Volume, mask: npt.NDArray[np.bool_]) -> int:
    opened = SDSegLib.OpenVolume(volume)
    carried = SDSegLib.propagate(opened, mask, slices=[3, 9])
    assert_type(carried, Propagation)
    return carried.axis


def study(folder: Path) -> None:
    found = SDSegLib.Study(name="one", source=folder)
    run = SDSegLib.RunOptions(device="cpu")
    options = SDSegLib.StudyOptions(run=run, output=folder, kinds={})
    assert_type(SDSegLib.segment_study(found, options), StudyResult)


def teach(folder: Path) -> None:
    collection = SDSegLib.CaseCollection(folder)
    assert_type(SDSegLib.check_cases(collection), tuple[CaseFinding, ...])
    cases = SDSegLib.open_cases(folder)
    assert_type(cases, TeachCases)
    done = SDSegLib.teach(SDSegLib.TeachOptions(output=folder / "model", minutes=5), cases)
    assert_type(done, TeachResult)


def by_the_other_name(ct: Path) -> str:
    assert_type(sdseg.read_volume(ct), Volume)
    assert_type(load_by_other_name("head-neck-oar"), Segmenter)
    try:
        sdseg.read_volume(ct)
    except SDSegError as error:
        return str(error)
    assert_type(sdseg.__version__, str)
    return sdseg.__version__
