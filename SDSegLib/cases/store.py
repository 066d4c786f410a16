"""The folder of a case collection: its index, its cases' files, and changes that survive a kill.

The index is the truth: a case belongs to the collection if `cases.json` names it. A case's folder
that holds the marker of an unfinished change and is not named was being added or removed when the
process was killed; the next change takes it away.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ..errors import InputError, OutputError
from ..export.plain_files import write_plain_ct, write_plain_segmentation
from ..language import tr
from ..locked import locked
from ..unfinished import unfinished_folder
from ..untrusted import shown
from ..volume.layers import LayeredLabels
from ..volume.volume import Volume
from .index import CT, INDEX, NEXT, SEGMENTATION, Entry, Index, State, next_name

_MARKER = ".unfinished"
_LITTER = (".DS_Store", "Thumbs.db", "desktop.ini")  # what systems put into folders
_OWN_FILES = (*_LITTER, SEGMENTATION, NEXT, CT, _MARKER)  # the marker goes last


class CaseStore:
    """Cases as files of a folder. Folders and files are made for this user alone.

    Args:
        path: A collection, an empty folder, or one that does not exist yet.

    Raises:
        InputError: If it is another folder, or its index is damaged or of a newer format.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._index = path / INDEX
        self.check_place()
        self.read()

    @property
    def exists(self) -> bool:
        """Whether there is a collection in the folder already."""
        return os.path.isfile(self._index)

    def check_place(self) -> None:
        """Raise `InputError` for a folder that holds something else than a collection."""
        if self.exists or not os.path.lexists(self.path):
            return
        if not self.path.is_dir():
            raise InputError(tr("{path} is a file; give a folder.").format(path=self.path))
        try:
            content = [name for name in os.listdir(self.path) if not name.startswith(".")]
        except OSError as error:
            raise InputError(
                tr("{path} cannot be opened ({reason}).").format(
                    path=self.path, reason=error.strerror
                )
            ) from error
        if content and not self.exists:
            raise InputError(
                tr(
                    "{path} is no case collection: it has no {index}, and is not empty (it "
                    "holds {value}). Give a new folder, or that of a collection."
                ).format(path=self.path, index=INDEX, value=shown(sorted(content)[0]))
            )

    def read(self) -> Index:
        """The index as it is now; an empty one if there is no collection yet.

        Raises:
            InputError: If it is damaged or of a newer format.
        """
        return Index.read(self._index) if self.exists else Index("")

    def entry(self, index: Index, name: str) -> Entry:
        """A case of the index.

        Raises:
            InputError: If there is none.
        """
        entry = index.find(name)
        if entry is None:
            known = ", ".join(item.name for item in index.entries[:8]) or tr("none")
            raise InputError(
                tr("{path} has no case called {name}; it has: {known}.").format(
                    path=self.path, name=shown(name), known=known
                )
            )
        return entry

    def segmentation_of(self, entry: Entry) -> Path | None:
        """Where a case's segmentation lies; None without one."""
        if not entry.structures:
            return None
        folder = self.path / entry.name
        is_next = entry.has_next and os.path.isfile(folder / NEXT)
        return folder / (NEXT if is_next else SEGMENTATION)

    def unknown_folders(self) -> tuple[Path, ...]:
        """Folders that hold something and are not in the index."""
        known = {entry.name.lower() for entry in self.read().entries}
        return tuple(
            path
            for path in sorted(self._subfolders())
            if path.name.lower() not in known
            and not os.path.lexists(path / _MARKER)
            and _holds_something(path)
        )

    def home_of(self, folder: Path) -> Path | None:
        """The folder, if it lies in the collection."""
        if folder.is_symlink() or folder.resolve().parent != self.path.resolve():
            return None
        return self.path / folder.resolve().name

    def salt(self) -> str:
        """The salt of all keys; makes the collection if there is none yet.

        Raises:
            InputError: If the folder holds something else, or the index is damaged.
            OutputError: If it cannot be written.
        """
        with self._writing():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.mkdir(mode=0o700, exist_ok=True)
            if not self.exists:
                with locked(self._index):
                    if not self.exists:
                        self.check_place()
                        Index.new().write(self._index)
        return self.read().salt

    def put(
        self,
        volume: Volume,
        labels: LayeredLabels | None,
        entry: Entry,
        check: Callable[[Index], None],
        home: Path | None = None,
    ) -> Entry:
        """Write a new case.

        Args:
            volume: The CT to write.
            labels: The segmentation to write, if there is one.
            entry: Of the index; with an empty name for the next of case-001, case-002, …
            check: Called before the case is named in the index; it may raise.
            home: A folder in the collection whose files the new ones replace.

        Raises:
            InputError: If the name is taken, or by `check`.
            OutputError: If it cannot be written.
        """
        with self._writing(), unfinished_folder(self.path) as work:
            fresh = work / "case"
            fresh.mkdir(mode=0o700)
            write_ct(fresh / CT, volume)
            if labels is not None:
                write_labels(fresh / SEGMENTATION, labels)
            with self.changing() as index:
                check(index)
                entry = replace(entry, name=entry.name or self.next_name(index))
                self.refuse_taken(index, entry.name, home)
                folder = self.path / entry.name
                if home is None:
                    _touch(fresh / _MARKER)
                    fresh.rename(folder)
                else:
                    for file in sorted(fresh.iterdir()):
                        os.replace(file, home / file.name)
                    home.chmod(0o700)
                self.write(index.changed(entry))
                (folder / _MARKER).unlink(missing_ok=True)
        return entry

    def put_segmentation(self, name: str, labels: LayeredLabels, state: State) -> Entry:
        """Write a segmentation beside the old one, name it in the index, and move it there.

        Raises:
            InputError: If there is no such case.
            OutputError: If it cannot be written.
        """
        with self._writing(), unfinished_folder(self.path) as work:
            fresh = work / SEGMENTATION
            write_labels(fresh, labels)
            with self.changing() as index:
                entry = self.entry(index, name)
                folder = self._own_folder(entry.name)
                if not folder.is_dir():
                    raise InputError(
                        tr("{folder} is missing; put it back, or remove the case.").format(
                            folder=folder
                        )
                    )
                entry = replace(entry, structures=labels.structures, state=state, has_next=True)
                os.replace(fresh, folder / NEXT)
                self.write(index.changed(entry))
                index = self._finish(index.changed(entry))
        return self.entry(index, name)

    def delete(self, name: str) -> tuple[Path, ...]:
        """Delete a case; see `CaseCollection.remove`."""
        with self.changing() as index:
            entry = self.entry(index, name)
            folder = self._own_folder(entry.name)
            if folder.is_dir():
                _touch(folder / _MARKER)
            self.write(index.without(entry.name))
            return self._clear(folder)

    def write(self, index: Index) -> None:
        """Replace the index; inside of `changing`.

        Raises:
            OutputError: If it cannot be written.
        """
        index.write(self._index)

    @contextmanager
    def changing(self) -> Iterator[Index]:
        """The index as it is now; no other process changes the collection inside the block.

        Raises:
            InputError: If there is no collection, or its index is damaged.
            OutputError: If it cannot be changed.
        """
        if not self.exists:
            raise InputError(
                tr("{path} holds no case collection; check the path.").format(path=self.path)
            )
        with self._writing(), locked(self._index):
            index = self._finish(self.read())
            self._clear_unfinished(index)
            yield index

    def _finish(self, index: Index) -> Index:
        """Move segmentations to their places that the index names and a killed process left."""
        unfinished = [entry for entry in index.entries if entry.has_next]
        for entry in unfinished:
            folder = self._own_folder(entry.name)
            if os.path.isfile(folder / NEXT):
                os.replace(folder / NEXT, folder / SEGMENTATION)
            index = index.changed(replace(entry, has_next=False))
        if unfinished:
            self.write(index)
        return index

    def _clear_unfinished(self, index: Index) -> None:
        """Take away what killed processes have not finished adding, replacing or removing."""
        for entry in index.entries:
            (self.path / entry.name / NEXT).unlink(missing_ok=True)
        for folder in self._subfolders():
            if os.path.lexists(folder / _MARKER):
                if index.find(folder.name) is None:
                    self._clear(folder)
                else:
                    (folder / _MARKER).unlink()

    def _clear(self, folder: Path) -> tuple[Path, ...]:
        """Delete a folder, or only a case's own files if it holds others, which are returned."""
        if not folder.is_dir():
            return ()
        others = other_files(folder)
        if others:
            for name in _OWN_FILES:
                (folder / name).unlink(missing_ok=True)
        else:
            with unfinished_folder(self.path) as work:  # which goes away, also after a kill
                folder.rename(work / folder.name)
        return others

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(
                tr(
                    "The case collection {path} cannot be changed ({reason}); free space on its "
                    "disk, check its access rights, or choose another folder."
                ).format(path=self.path, reason=error.strerror or error)
            ) from error

    def _subfolders(self) -> list[Path]:
        if not self.path.is_dir():
            return []
        return [
            path
            for path in self.path.iterdir()
            if not path.name.startswith(".") and path.is_dir() and not path.is_symlink()
        ]

    def _own_folder(self, name: str) -> Path:
        """The folder of a case.

        Raises:
            InputError: If it is a link to somewhere else.
        """
        folder = self.path / name
        if folder.is_symlink() or folder.resolve().parent != self.path.resolve():
            raise InputError(
                tr(
                    "{folder} is a link to {target}, outside of the collection; remove "
                    "the link by hand."
                ).format(folder=folder, target=folder.resolve())
            )
        return folder

    def next_name(self, index: Index) -> str:
        """The next of case-001, case-002, … that is neither a case nor a folder."""
        there = [path.name for path in self._subfolders()]
        return next_name([entry.name for entry in index.entries] + there)

    def refuse_taken(self, index: Index, name: str, home: Path | None = None) -> None:
        """Raise `InputError` if a case, or a folder other than `home`, has this name."""
        if index.find(name) is not None:
            raise InputError(
                tr(
                    "There is a case called {name} already, with another CT; choose another name."
                ).format(name=name)
            )
        if home is None and os.path.lexists(self.path / name):
            raise InputError(
                tr(
                    "{path} exists and is not in the index; choose another name, or take that "
                    "folder up (--folder {name})."
                ).format(path=self.path / name, name=name)
            )


def write_ct(path: Path, volume: Volume) -> None:
    """Write a CT to a new file for this user alone, and wait until it is on the disk."""
    _touch(path)
    write_plain_ct(volume, path)
    _to_disk(path)


def write_labels(path: Path, labels: LayeredLabels) -> None:
    """Write a segmentation as `write_ct` does."""
    _touch(path)
    write_plain_segmentation(labels, path)
    _to_disk(path)


def other_files(folder: Path) -> tuple[Path, ...]:
    """What lies in a case's folder and is not the collection's."""
    return tuple(sorted(path for path in folder.iterdir() if path.name not in _OWN_FILES))


def _holds_something(folder: Path) -> bool:
    try:
        return any(not name.startswith(".") for name in os.listdir(folder))
    except OSError:
        return True


def _touch(path: Path) -> None:
    path.touch(mode=0o600)


def _to_disk(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
