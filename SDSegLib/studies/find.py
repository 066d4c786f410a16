"""Find the studies of a folder: image files, and series of DICOM folders."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import InputError
from ..language import tr
from ..reading.dicom_headers import starts_like_dicom
from ..reading.files import look_into
from ..reading.mask_folder import MASKS
from .urls import IMAGES as IMAGES_AT_URLS
from .urls import UrlFolder

_IMAGES = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")
_RESULTS = (".seg.nrrd",)


@dataclass(frozen=True)
class Study:
    """One volume to segment.

    Attributes:
        name: Path below the folder without the file's ending; results are named after it.
        source: File, or DICOM folder.
        series: UID or number of the series if the folder holds several.
        phase: Number or name of the phase if the series has several.
        url: Where the file lies if that is not on a disk; `source` is its path there.
    """

    name: str
    source: Path
    series: str | None = None
    phase: str | None = None
    url: str = ""

    @property
    def place(self) -> str:
        """Path or URL, for messages."""
        return self.url or str(self.source)


def find_studies(
    folder: Path,
    pattern: str | None = None,
    modality: str | None = None,
    phase: str | None = None,
    pass_over: Callable[[Path, str], None] = lambda path, reason: None,
) -> list[Study]:
    """All studies of a folder, by name. Links to folders are followed once.

    Args:
        folder: Where to look, at any depth.
        pattern: Like "*/ct.nii.gz": only files or DICOM folders that match, below the folder.
        modality: Of the DICOM series wanted; series that do not say theirs are taken as well.
        phase: Number or name of the phase wanted, of series with phases; without it, each phase is
            a study.
        pass_over: Called with each path that is left out although it might hold a study, and the
            reason.

    Raises:
        InputError: If it is no folder, holds nothing, or two studies would have one name.
    """
    if not folder.is_dir():
        raise InputError(
            tr("{folder} is not a folder; for a single file use sdseg segment.").format(
                folder=folder
            )
        )
    search = _Search(folder, modality, phase, pass_over)
    if pattern is None:
        found = sorted(search.studies(), key=lambda s: s.name)
    else:
        matches = sorted(path for path in folder.glob(pattern) if not _is_hidden(path, folder))
        found = [study for path in matches for study in search.at(path)]
    return _checked(found, str(folder), pattern, tr("NIfTI, NRRD, MHA or DICOM"))


def find_studies_at(url: str, pattern: str | None = None) -> list[Study]:
    """All studies of a folder at a URL: images in one file each, by name.

    Raises:
        InputError: As `find_studies`, and if it cannot be listed.
    """
    folder = UrlFolder(url)
    found = []
    for path in folder.images(pattern):
        ending = next(ending for ending in IMAGES_AT_URLS if path.lower().endswith(ending))
        found.append(Study(path[: -len(ending)], Path(path), url=f"{folder.url}/{path}"))
    if not found:
        folder.check_bucket()
    return _checked(found, url, pattern, tr("NIfTI, NRRD or MHA"))


def _checked(found: list[Study], folder: str, pattern: str | None, kinds: str) -> list[Study]:
    """The studies, if there are any and no two have one name."""
    if not found:
        looked_for = (
            tr("that match {pattern!r}").format(pattern=pattern) if pattern else f"({kinds})"
        )
        raise InputError(
            tr("{folder} holds no images {looked_for}.").format(
                folder=folder, looked_for=looked_for
            )
        )
    places: dict[str, str] = {}
    for study in found:
        if study.name in places:
            raise InputError(
                tr(
                    "{place} and {other} would both give results named {study}; choose "
                    "with --pattern."
                ).format(place=study.place, other=places[study.name], study=study.name)
            )
        places[study.name] = study.place
    return found


@dataclass
class _Search:
    """Walks through a folder: its real folders first, then those that links lead to.

    Attributes:
        top: The folder.
        modality: Of the DICOM series wanted.
        phase: Of the DICOM series wanted.
        pass_over: Called with what is left out.
        seen: Device and number of each folder that was looked into.
        links: Links to folders that are still to be followed.
    """

    top: Path
    modality: str | None
    phase: str | None
    pass_over: Callable[[Path, str], None]
    seen: set[tuple[int, int]] = field(default_factory=set)
    links: deque[Path] = field(default_factory=deque)

    def studies(self) -> Iterator[Study]:
        """The studies in the folder."""
        yield from self._below(self.top)
        while self.links:
            link = self.links.popleft()
            if self._leads_up(link):
                self.pass_over(link, tr("a link to a folder that this one lies in"))
            elif _identity(link) in self.seen:
                self.pass_over(link, tr("a link to a folder that is looked into anyway"))
            else:
                yield from self._below(link)

    def _below(self, folder: Path) -> Iterator[Study]:
        try:
            identity = _identity(folder)
            children = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
            files = [path for path in children if path.is_file()]
            folders = [path for path in children if path.is_dir()]
        except OSError as error:
            self.pass_over(folder, tr("cannot be opened: {reason}").format(reason=error.strerror))
            return
        if identity in self.seen:
            self.pass_over(folder, tr("was looked into by a link already"))
            return
        self.seen.add(identity)
        for path in children:
            if path.is_symlink() and not path.exists():
                self.pass_over(path, tr("a link that leads nowhere"))
            elif path not in files and path not in folders and _is_image(path):
                self.pass_over(path, tr("no regular file"))
        if any(_is_dicom(path) for path in files):
            for link in _links_below(folder):
                self.pass_over(link, tr("a link in a folder of DICOM files"))
            yield from self._series_of(folder)
            yield from (_study(path, self.top) for path in _images_below(folder, self._pass_masks))
            return
        images = [path for path in files if _is_image(path)]
        yield from (_study(path, self.top) for path in images)
        for path in folders:
            if images and path.name == MASKS:
                self._pass_masks(path)
            elif path.is_symlink():
                self.links.append(path)
            else:
                yield from self._below(path)

    def at(self, path: Path) -> Iterator[Study]:
        """The studies of one path that was asked for: a file, or a folder of DICOM files."""
        if path.is_dir():
            yield from self._series_of(path)
        else:
            yield _study(path, self.top)

    def _series_of(self, folder: Path) -> Iterator[Study]:
        name = (
            folder.relative_to(self.top).as_posix() if folder != self.top else folder.resolve().name
        )
        try:
            content = look_into(folder)
        except InputError:  # that study fails, with the reason, and the others are done
            yield Study(name, folder)
            return
        known = content.series
        if not known and content.notes:  # damaged files alone: the study fails as well
            yield Study(name, folder)
        wanted = [
            item for item in known if self.modality is None or item.modality in ("", self.modality)
        ]
        for item in wanted:
            if item.is_scout:
                self.pass_over(item.files[0], tr("a series of localizers"))
        wanted = [item for item in wanted if not item.is_scout]
        uids = [item.uid for item in known]
        for item in wanted:
            study = Study(
                name=name if len(wanted) == 1 else f"{name}/series-{item.number}",
                source=folder,
                series=None
                if len(known) == 1
                else item.uid
                if item.uid and uids.count(item.uid) == 1
                else str(item.number),
            )
            if not item.phases:
                yield study
            elif self.phase is not None:
                yield replace(study, phase=self.phase)
            else:
                for each in item.phases:
                    yield replace(
                        study, name=f"{study.name}/phase-{each.number}", phase=str(each.number)
                    )

    def _pass_masks(self, folder: Path) -> None:
        self.pass_over(folder, tr("masks of the CT beside it"))

    def _leads_up(self, link: Path) -> bool:
        target, top = link.resolve(), self.top.resolve()
        return target == top or target in top.parents


def _links_below(folder: Path) -> Iterator[Path]:
    for parent, names, _ in os.walk(folder):
        yield from (Path(parent, name) for name in sorted(names) if Path(parent, name).is_symlink())


def _images_below(folder: Path, pass_masks: Callable[[Path], None]) -> Iterator[Path]:
    """Images in one file each beside DICOM files, such as below a DICOMDIR."""
    for parent, names, files in os.walk(folder):
        if MASKS in names:
            pass_masks(Path(parent, MASKS))
        names[:] = sorted(name for name in names if name != MASKS and not name.startswith("."))
        for path in (Path(parent, name) for name in sorted(files) if not name.startswith(".")):
            if _is_image(path) and path.is_file() and not path.is_symlink():
                yield path


def _identity(folder: Path) -> tuple[int, int]:
    facts = os.stat(folder)
    return facts.st_dev, facts.st_ino


def _study(path: Path, top: Path) -> Study:
    name = path.relative_to(top).as_posix()
    for ending in (*_IMAGES, ".dcm"):
        if name.lower().endswith(ending):
            return Study(name[: -len(ending)], path)
    return Study(name, path)


def _is_image(path: Path) -> bool:
    name = path.name.lower()
    return name.endswith(_IMAGES) and not name.endswith(_RESULTS)


def _is_dicom(path: Path) -> bool:
    if _is_image(path):
        return False
    try:
        with path.open("rb") as file:
            return starts_like_dicom(file.read(4096))
    except OSError:
        return False


def _is_hidden(path: Path, top: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(top).parts)
