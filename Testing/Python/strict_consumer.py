"""A program that uses the whole public interface; `test_types.py` checks its types, nobody runs it.

`assert_type` makes sure that the interface has types of its own: `Any` would pass everywhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import sdseg
import SDSegLib
from sdseg import load_segmenter as load_by_other_name

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from typing_extensions import assert_type


def segment(ct: Path) -> SDSegLib.Segmentation:
    volume = SDSegLib.read_volume(ct)
    assert_type(volume, SDSegLib.Volume)
    fit = SDSegLib.choose_model(volume)
    assert_type(fit, SDSegLib.ModelFit)
    assert_type(SDSegLib.rank_models(volume), list[SDSegLib.ModelFit])
    segmenter = SDSegLib.load_segmenter("head-neck-oar")
    assert_type(segmenter, SDSegLib.Segmenter)
    result = segmenter.segment(volume)
    assert_type(result, SDSegLib.Segmentation)
    SDSegLib.write_seg_nrrd(result, ct.with_suffix(".seg.nrrd"))
    SDSegLib.write_label_map(result, ct.with_suffix(".nii.gz"))
    SDSegLib.write_dicom_seg(result, volume, ct.with_suffix(".dcm"))
    assert_type(volume.geometry, SDSegLib.Geometry)
    assert_type(SDSegLib.slices_to_review(result), list[SDSegLib.ReviewSlice])
    return result


def judge(volume: SDSegLib.Volume, result: SDSegLib.Segmentation) -> list[str]:
    expects = SDSegLib.choose_model(volume).model.description.expects
    findings = SDSegLib.judge_input(volume, expects)
    assert_type(findings, tuple[SDSegLib.Finding, ...])
    return [finding.message for finding in (*findings, *SDSegLib.judge_result(result, expects))]


def carry(volume: SDSegLib.Volume, mask: npt.NDArray[np.bool_]) -> int:
    opened = SDSegLib.OpenVolume(volume)
    carried = SDSegLib.propagate(opened, mask, slices=[3, 9])
    assert_type(carried, SDSegLib.Propagation)
    return carried.axis


def study(folder: Path) -> None:
    found = SDSegLib.Study(name="one", source=folder)
    run = SDSegLib.RunOptions(device="cpu")
    options = SDSegLib.StudyOptions(run=run, output=folder, kinds={})
    assert_type(SDSegLib.segment_study(found, options), SDSegLib.StudyResult)
    models = SDSegLib.ModelStore()
    for other in SDSegLib.find_studies(folder):
        SDSegLib.segment_study(other, options, models)
    assert_type(SDSegLib.list_series(folder), list[SDSegLib.Series])


def teach(folder: Path) -> None:
    collection = SDSegLib.CaseCollection(folder)
    assert_type(SDSegLib.check_cases(collection), tuple[SDSegLib.CaseFinding, ...])
    cases = SDSegLib.open_cases(folder)
    assert_type(cases, SDSegLib.TeachCases)
    done = SDSegLib.teach(SDSegLib.TeachOptions(output=folder / "model", minutes=5), cases)
    assert_type(done, SDSegLib.TeachResult)


def by_the_other_name(ct: Path) -> str:
    assert_type(sdseg.read_volume(ct), SDSegLib.Volume)
    assert_type(load_by_other_name("head-neck-oar"), SDSegLib.Segmenter)
    try:
        sdseg.read_volume(ct)
    except (SDSegLib.InputError, SDSegLib.ModelError, SDSegLib.OutputError) as error:
        return str(error)
    except (SDSegLib.MissingPackageError, SDSegLib.CancelledError):
        raise
    except SDSegLib.SDSegError as error:
        return str(error)
    assert_type(sdseg.__version__, str)
    return sdseg.__version__
