"""Segment one study from its files to its results; the function can run in any process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ..export.inputs import refuse_inputs
from ..export.results import write_outputs
from ..inference.progress import ProgressCallback
from ..operations.base import OpenVolume, run_here
from ..operations.model_store import ModelStore
from ..operations.segment import SegmentOperation
from ..options import RunOptions
from ..reading.files import read_volume
from ..volume.judgement import refuse
from ..volume.segmentation import Segmentation
from .find import Study

Status = Literal["done", "there already", "failed"]


@dataclass(frozen=True)
class StudyOptions:
    """Options for all studies of a run; picklable.

    Attributes:
        run: Options of the segmentation.
        output: Folder of the results; they are named after the study.
        kinds: Kind of result by file ending, as `kinds_of_endings` gives it.
        overwrite: Whether to replace results that exist.
        original_grid: As in `write_outputs`.
    """

    run: RunOptions
    output: Path
    kinds: dict[str, str]
    overwrite: bool = False
    original_grid: bool = False

    def files(self, study: Study) -> dict[str, Path]:
        """Path of each kind of result of a study."""
        return {kind: self.output / f"{study.name}.{ending}" for ending, kind in self.kinds.items()}

    def check(self, studies: Iterable[Study]) -> None:
        """Check that no result of any study would be the file of another.

        Raises:
            InputError: Naming the result.
        """
        known = list(studies)
        outputs = [path for study in known for path in self.files(study).values()]
        refuse_inputs(outputs, [study.source for study in known])

    def is_done(self, study: Study) -> bool:
        """Whether a study has all its results and they are not to be overwritten."""
        return not self.overwrite and all(path.exists() for path in self.files(study).values())


@dataclass(frozen=True)
class StudyResult:
    """Outcome of a study; picklable.

    Attributes:
        study: The study.
        status: "failed" ones have no results.
        message: Why it failed.
        seconds: Time for computing its label map.
        volumes_ml: Of each structure, by name.
        warnings: One sentence each.
        model: Name and version of the model that was used.
        device: Where it was computed and why.
    """

    study: Study
    status: Status
    message: str = ""
    seconds: float = 0.0
    volumes_ml: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    model: str = ""
    device: str = ""


@dataclass(frozen=True, eq=False)
class SegmentedStudy:
    """A study that was computed and is not written yet."""

    study: Study
    opened: OpenVolume
    segmentation: Segmentation
    result: StudyResult


def segment_study(
    study: Study,
    options: StudyOptions,
    models: ModelStore | None = None,
    report: ProgressCallback | None = None,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> StudyResult:
    """Read, segment and write one study.

    Args:
        study: Input.
        options: The same for every study.
        models: Models that stay loaded between calls of one process.
        report: Receives progress.
        is_cancelled: Called between batches of slices.

    Raises:
        SDSegError: If it cannot be read, segmented or written, with the reason; nothing is written
            then.
        CancelledError: Once `is_cancelled` returns True.
    """
    if options.is_done(study):
        return StudyResult(study, "there already")
    models = models or ModelStore()
    opened = read_study(study, options, models)
    computed = compute_study(study, opened, options, models, report, is_cancelled)
    write_study(computed, options)
    return computed.result


def read_study(study: Study, options: StudyOptions, models: ModelStore) -> OpenVolume:
    """The first part of `segment_study`: read a study and judge it."""
    refuse_inputs(options.files(study).values(), [study.source])
    opened = OpenVolume(read_volume(study.source, study.series, study.phase))
    refuse(SegmentOperation(options.run).judge(opened, models))
    return opened


def compute_study(
    study: Study,
    opened: OpenVolume,
    options: StudyOptions,
    models: ModelStore,
    report: ProgressCallback | None = None,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> SegmentedStudy:
    """The part of `segment_study` between reading and writing."""
    started = time.monotonic()
    segmentation, answer = run_here(
        SegmentOperation(options.run),
        opened,
        models,
        report or (lambda progress: None),
        is_cancelled,
    )
    result = StudyResult(
        study,
        "done",
        seconds=time.monotonic() - started,
        volumes_ml=segmentation.volumes_ml(),
        warnings=(*(item.message for item in answer.findings), *answer.messages),
        model=answer.model,
        device=answer.device,
    )
    return SegmentedStudy(study, opened, segmentation, result)


def write_study(computed: SegmentedStudy, options: StudyOptions) -> None:
    """Write all results of a study, or none; existing files are kept unless `overwrite` is set."""
    paths = options.files(computed.study)
    if not options.overwrite:  # existing files may have been edited
        paths = {kind: path for kind, path in paths.items() if not path.exists()}
    for path in paths.values():
        path.parent.mkdir(parents=True, exist_ok=True)
    write_outputs(
        computed.segmentation,
        computed.opened.volume,
        paths,
        options.overwrite,
        options.original_grid,
    )
