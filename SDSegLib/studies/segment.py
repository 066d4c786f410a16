"""Segment one study from its files to its results; the function can run in any process."""

from __future__ import annotations

import os
import tempfile
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from ..errors import InputError, OutputError
from ..export.atomic import atomic_together, check_name
from ..export.inputs import refuse_inputs
from ..export.results import write_outputs
from ..inference.progress import ProgressCallback
from ..language import tr
from ..operations.base import Answer, OpenVolume, run_here
from ..operations.model_store import ModelStore
from ..operations.segment import SegmentOperation
from ..options import RunOptions
from ..reading.files import read_volume
from ..unfinished import unfinished_folder
from ..volume.judgement import refuse
from ..volume.segmentation import Segmentation
from .find import Study
from .pacs import archive_of, is_archive
from .urls import UrlFolder, fetched

Status = Literal["done", "there already", "failed"]
Computer = Callable[
    [SegmentOperation, OpenVolume, ModelStore, ProgressCallback, Callable[[], bool]],
    tuple[Segmentation, Answer],
]
"""What computes an operation: `run_here`, or a function with the same arguments."""


@dataclass(frozen=True)
class StudyOptions:
    """Options for all studies of a run; picklable.

    Attributes:
        run: Options of the segmentation.
        output: Folder of the results; they are named after the study.
        kinds: Kind of result by file ending, as `kinds_of_endings` gives it.
        overwrite: Whether to replace results that exist.
        original_grid: As in `write_outputs`.
        output_url: Where the results go instead of `output`, if it is not "".
        store: Whether DICOM Segmentations are stored in the archive of the study as well.
    """

    run: RunOptions
    output: Path
    kinds: dict[str, str]
    overwrite: bool = False
    original_grid: bool = False
    output_url: str = ""
    store: bool = False

    def names(self, study: Study) -> dict[str, str]:
        """Name of each kind of result of a study, below the folder of the results."""
        return {kind: f"{study.name}.{ending}" for ending, kind in self.kinds.items()}

    def files(self, study: Study) -> dict[str, Path]:
        """Path of each kind of result of a study."""
        return {kind: self.output / name for kind, name in self.names(study).items()}

    def check(self, studies: Iterable[Study]) -> None:
        """Check that no result of any study would be the file of another.

        Raises:
            InputError: Naming the result.
        """
        known = [study for study in studies if not study.url]
        if self.output_url:
            return
        outputs = [path for study in known for path in self.files(study).values()]
        refuse_inputs(outputs, [study.source for study in known])

    def is_done(self, study: Study) -> bool:
        """Whether a study has all its results and they are not to be overwritten."""
        return not self.overwrite and self.are_there(study)

    def are_there(self, study: Study) -> bool:
        """Whether all results of a study exist."""
        return not replace(self, overwrite=False).missing(study)

    def missing(self, study: Study) -> set[str]:
        """Kinds of result of a study that are to be written: all with `overwrite`."""
        if self.overwrite:
            return set(self.kinds.values())
        if self.output_url:
            folder = UrlFolder(self.output_url)
            return {kind for kind, name in self.names(study).items() if not folder.has(name)}
        # Not pathlib's, which raises if a name is too long; `read_study` says that.
        return {kind for kind, path in self.files(study).items() if not os.path.exists(path)}

    def divide(self, studies: Iterable[Study]) -> tuple[list[Study], list[Study]]:
        """Studies that are done, and the others, each in their order."""
        is_done = self.is_done
        if self.output_url:  # one list is faster than many questions
            there = set() if self.overwrite else set(UrlFolder(self.output_url).files())
            is_done = lambda study: there.issuperset(self.names(study).values())  # noqa: E731
        parts: tuple[list[Study], list[Study]] = ([], [])
        for study in studies:
            parts[not is_done(study)].append(study)
        return parts


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
    turn: AbstractContextManager[object] | None = None,
    before_writing: Callable[[StudyResult], None] = lambda result: None,
    computer: Computer = run_here,
) -> StudyResult:
    """Read, segment and write one study.

    Args:
        study: Input.
        options: The same for every study.
        models: Models that stay loaded between calls of one process.
        report: Receives progress.
        is_cancelled: Called between batches of slices.
        turn: Entered while it computes; threads that share models take turns with a lock.
        before_writing: Called with the outcome before the results are written.
        computer: What computes it.

    Raises:
        SDSegError: If it cannot be read, segmented or written, with the reason; nothing is written
            then.
        CancelledError: Once `is_cancelled` returns True.
    """
    if options.is_done(study):
        return StudyResult(study, "there already")
    models = models or ModelStore()
    opened = read_study(study, options, models)
    with turn or nullcontext():
        computed = compute_study(study, opened, options, models, report, is_cancelled, computer)
    before_writing(computed.result)
    write_study(computed, options)
    return computed.result


def read_study(study: Study, options: StudyOptions, models: ModelStore) -> OpenVolume:
    """The first part of `segment_study`: read a study and judge it."""
    if is_archive(study.url):
        opened = _read_from_archive(study)
    elif study.url:
        with fetched(study.url) as source:
            opened = OpenVolume(replace(read_volume(source), source=None))
    else:
        if not options.output_url:
            paths = options.files(study).values()
            for path in paths:
                check_name(path)
            refuse_inputs(paths, [study.source])
        opened = OpenVolume(read_volume(study.source, study.series, study.phase))
    refuse(SegmentOperation(options.run).judge(opened, models))
    return opened


def _read_from_archive(study: Study) -> OpenVolume:
    """A series; its files stay as long as the volume, since segmentations refer to them."""
    archive, uid, series = archive_of(study.url)
    with ExitStack() as stack:
        folder = stack.enter_context(unfinished_folder(Path(tempfile.gettempdir())))
        archive.fetch(uid, series, folder)
        try:
            opened = OpenVolume(read_volume(folder, phase=study.phase))
        except InputError as error:
            raise InputError(str(error).replace(str(folder), study.url)) from error
        weakref.finalize(opened, stack.pop_all().close)
    return opened


def compute_study(
    study: Study,
    opened: OpenVolume,
    options: StudyOptions,
    models: ModelStore,
    report: ProgressCallback | None = None,
    is_cancelled: Callable[[], bool] = lambda: False,
    computer: Computer = run_here,
) -> SegmentedStudy:
    """The part of `segment_study` between reading and writing."""
    started = time.monotonic()
    segmentation, answer = computer(
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
    if options.output_url or options.store:
        with unfinished_folder(Path(tempfile.gettempdir())) as folder:
            here = replace(options, output=folder, output_url="", overwrite=False, store=False)
            write_study(computed, here)
            keep_files(computed.study, options, here.files(computed.study))
        return
    missing = options.missing(computed.study)  # existing files may have been edited
    paths = {kind: path for kind, path in options.files(computed.study).items() if kind in missing}
    _make_folders(paths.values())
    with _unless_written(computed.study, options):
        write_outputs(
            computed.segmentation,
            computed.opened.volume,
            paths,
            options.overwrite,
            options.original_grid,
        )


@contextmanager
def _unless_written(study: Study, options: StudyOptions) -> Iterator[None]:
    """Let results that another process wrote in the meantime count as written."""
    try:
        yield
    except OutputError:
        if not options.is_done(study):
            raise


def keep_files(study: Study, options: StudyOptions, files: Mapping[str, bytes | Path]) -> None:
    """Write the files of a study that were made elsewhere, all or none, as `write_study` does.

    Args:
        study: The study.
        options: Where to.
        files: Contents, or files that hold them, by kind.

    Raises:
        OutputError: If one cannot be written.
    """
    missing = options.missing(study)
    files = {kind: content for kind, content in files.items() if kind in missing}
    if options.store and "dicom_seg" in files:  # else the archive has it from an earlier run
        _store(study, files["dicom_seg"])
    if options.output_url:
        names = options.names(study)
        UrlFolder(options.output_url).write({names[kind]: files[kind] for kind in files})
        return
    paths = options.files(study)
    wanted = {paths[kind]: content for kind, content in files.items()}
    _make_folders(wanted)
    with (
        _unless_written(study, options),
        atomic_together(wanted, options.overwrite) as staged,
    ):
        for path, temporary in staged.items():
            content = wanted[path]
            temporary.write_bytes(content if isinstance(content, bytes) else content.read_bytes())


def _make_folders(paths: Iterable[Path]) -> None:
    """Make the folders of files."""
    for path in paths:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                tr("The folder {path} cannot be made ({reason}).").format(
                    path=path.parent, reason=error.strerror or error
                )
            ) from error


def _store(study: Study, content: bytes | Path) -> None:
    """Store the DICOM Segmentation in the archive that the study came from."""
    archive, _, _ = archive_of(study.url)
    with ExitStack() as stack:
        if isinstance(content, bytes):
            folder = stack.enter_context(unfinished_folder(Path(tempfile.gettempdir())))
            path = folder / "segmentation.dcm"
            path.write_bytes(content)
        else:
            path = content
        archive.store(path)
