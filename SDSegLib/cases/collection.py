"""A folder of CT with their segmentations, each with a state, to learn from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from ..datasets.collection import Item
from ..errors import InputError
from ..export.label_files import read_layers, structures_in
from ..export.plain_files import plain_structure
from ..language import tr
from ..reading.files import read_volume
from ..untrusted import shown
from ..volume.finding import Finding
from ..volume.layers import LayeredLabels, with_labels_in_order
from ..volume.structure import LARGEST_LABEL, Structure
from ..volume.volume import Volume
from .index import CT, STATES, Entry, Index, State, problem_with_name
from .inputs import Labels, NewImage, new_image, new_labels, stored_image
from .keys import image_key, patient_key
from .source_folder import find_files
from .store import CaseStore, other_files

Source = TypeVar("Source")


@dataclass(frozen=True)
class CollectedCase:
    """A case of a collection.

    Attributes:
        name: Its name, also that of its folder.
        state: "to-do", "segmented", "corrected" or "left-out".
        patient: The same for all cases of one patient, and nothing about who it is.
        structures: Names, colours and codes, with labels 1 … N; () without a segmentation.
        folder: Where it lies.
        segmentation: The `.seg.nrrd` file; None without one.
    """

    name: str
    state: State
    patient: str
    structures: tuple[Structure, ...]
    folder: Path
    segmentation: Path | None

    @property
    def ct(self) -> Path:
        """The `.nii.gz` file of the CT."""
        return self.folder / CT

    @property
    def item(self) -> Item:
        """As an item of a data set."""
        return Item(self.name, self.ct, self.segmentation)

    @property
    def megabytes(self) -> float:
        """Size of its files in MB; of those that are there."""
        files = [self.ct, *([] if self.segmentation is None else [self.segmentation])]
        return sum(os.path.getsize(path) for path in files if os.path.isfile(path)) / 1e6

    def read_ct(self) -> Volume:
        """The CT.

        Raises:
            InputError: If the file is missing or damaged.
        """
        return read_volume(self.ct)

    def read_labels(self) -> LayeredLabels:
        """All structures, also where they overlap, on the CT's grid.

        Raises:
            InputError: If there is no segmentation, or the file is missing or damaged.
        """
        if self.segmentation is None:
            raise InputError(tr("{name} has no segmentation yet; add one.").format(name=self.name))
        labels = read_layers(self.segmentation)
        return with_labels_in_order(labels, labels.structures)

    def structures_in_file(self) -> tuple[Structure, ...]:
        """What the segmentation's file names now, by its header; () if it is not there."""
        if self.segmentation is None or not os.path.isfile(self.segmentation):
            return ()
        found = structures_in(self.segmentation)[:LARGEST_LABEL]
        return tuple(
            replace(plain_structure(item), label=label) for label, item in enumerate(found, start=1)
        )


@dataclass(frozen=True)
class AddedCase:
    """What was added.

    Attributes:
        case: The case as it is now.
        volumes_ml: Volume of each of its structures in millilitres, by name.
        findings: What the user should know about the CT and the segmentation.
        is_new: False if a case that was there got another segmentation.
        left_behind: Other files that a folder holds that was taken up.
    """

    case: CollectedCase
    volumes_ml: dict[str, float]
    findings: tuple[Finding, ...]
    is_new: bool = True
    left_behind: tuple[str, ...] = ()


class CaseCollection:
    """The cases in a folder: `NAME/ct.nii.gz` and `NAME/segmentation.seg.nrrd`.

    Nothing is written before the first change. Several processes may change a collection at once;
    one that is killed leaves it as it was before the change or after it. Folders and files are made
    for this user alone.

    Args:
        path: A collection, an empty folder, or one that does not exist yet.

    Raises:
        InputError: If it is another folder, or its index is damaged or of a newer format.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._store = CaseStore(self.path)

    @property
    def exists(self) -> bool:
        """Whether there is a collection in the folder already."""
        return self._store.exists

    def cases(self) -> tuple[CollectedCase, ...]:
        """All cases, in the order of their names.

        Raises:
            InputError: If the index is damaged.
        """
        entries = sorted(self._store.read().entries, key=lambda entry: entry.name.lower())
        return tuple(self._case(entry) for entry in entries)

    def case(self, name: str) -> CollectedCase:
        """A case by its name.

        Raises:
            InputError: If there is none.
        """
        return self._case(self._store.entry(self._store.read(), name))

    def case_of(self, volume: Volume) -> CollectedCase | None:
        """The case that holds a CT already; None if there is none.

        Raises:
            InputError: If the index is damaged.
        """
        index = self._store.read()
        if not index.entries:
            return None
        entry = index.with_image(image_key(index.salt, stored_image(volume)))
        return None if entry is None else self._case(entry)

    def next_name(self) -> str:
        """The name that the next case gets if it is given none."""
        return self._store.next_name(self._store.read())

    def unknown_folders(self) -> tuple[Path, ...]:
        """Folders in the collection that hold something and are not in the index."""
        return self._store.unknown_folders()

    def add(
        self,
        volume: Volume | Path | str,
        segmentation: Labels | Path | str | None = None,
        name: str | None = None,
        state: State | None = None,
        patient: str | None = None,
        *,
        names: Sequence[Structure] = (),
        replace_segmentation: bool = False,
        series: str | None = None,
        phase: str | None = None,
    ) -> AddedCase:
        """Add a CT, with or without its segmentation.

        Only voxels, their grid, and the structures' names, colours and codes are written.

        Args:
            volume: A CT in HU, or its file or DICOM folder.
            segmentation: On the CT's voxels: structures, a label map, or the file of one
                (`.seg.nrrd`, DICOM Segmentation, NIfTI, NRRD, MetaImage).
            name: Name of the case; by default the next of case-001, case-002, …
            state: By default "corrected" with a segmentation and "to-do" without; a case that is
                left out and gets another segmentation stays so.
            patient: Any text that is the same for all cases of a patient, of which a keyed hash is
                kept. By default the PatientID, or else the CT itself.
            names: What the numbers of a label map mean that names nothing.
            replace_segmentation: Whether a case that holds this CT gets the new segmentation. One
                that has none gets it in any case.
            series: Series of a DICOM folder.
            phase: Phase of a DICOM series.

        Raises:
            InputError: If the CT or the segmentation cannot be used, the CT is in the collection
                already, or the name is taken or cannot be used.
            OutputError: If the folder cannot be written.
        """
        _check_name(name)
        self._store.check_place()
        image = new_image(_path(volume), series, phase)
        return self._add(image, _path(segmentation), name, state, patient, names,
                         replace_segmentation)  # fmt: skip

    def add_folder(
        self,
        folder: Path | str,
        name: str | None = None,
        state: State | None = None,
        patient: str | None = None,
        *,
        names: Sequence[Structure] = (),
        replace_segmentation: bool = False,
        series: str | None = None,
        phase: str | None = None,
    ) -> AddedCase:
        """Add the CT and segmentation of a folder, for example one that was put here by hand.

        A folder in the collection becomes a case itself, with its own name: files without any text
        of their source take the place of the CT and segmentation, and other files stay. A folder
        elsewhere is only read.

        Args:
            folder: With one CT (`ct.nii.gz`, another volume file, or DICOM files) and up to one
                segmentation (`*.seg.nrrd`, `organs.nii.gz`, `labels.nii.gz`, …).
            name: As for `add`; not for a folder in the collection.
            state: As for `add`.
            patient: As for `add`.
            names: As for `add`.
            replace_segmentation: As for `add`.
            series: As for `add`.
            phase: As for `add`.

        Raises:
            InputError: As for `add`; or if the folder does not hold one CT, or is a case already.
            OutputError: As for `add`.
        """
        folder = Path(folder)
        self._store.check_place()
        ct, segmentation = find_files(folder)
        home = self._store.home_of(folder)
        if home is None:
            _check_name(name)
            image = new_image(ct, series, phase)
            return self._add(image, segmentation, name, state, patient, names,
                             replace_segmentation)  # fmt: skip
        if name not in (None, home.name):
            raise InputError(
                tr(
                    "{folder} lies in the collection and keeps its name; rename the folder first."
                ).format(folder=folder)
            )
        _check_name(home.name)
        if self._store.read().find(home.name) is not None:
            raise InputError(
                tr("{home} is a case of the collection already.").format(home=home.name)
            )
        image = new_image(ct, series, phase)
        return self._add(image, segmentation, home.name, state, patient, names, False, home)

    def set_segmentation(
        self,
        name: str,
        segmentation: Labels | Path | str,
        state: State | None = None,
        *,
        names: Sequence[Structure] = (),
    ) -> AddedCase:
        """Give a case another segmentation.

        Args:
            name: The case.
            segmentation: As for `add`; on the voxels of the case's CT.
            state: By default "corrected"; a case that is left out stays so.
            names: As for `add`.

        Raises:
            InputError: If there is no such case, or the segmentation cannot be used.
            OutputError: If the folder cannot be written.
        """
        case = self.case(name)
        labels, findings = new_labels(_path(segmentation), names, case.read_ct(), case.name)
        chosen = _state(state or _kept(case.state), labels)
        entry = self._store.put_segmentation(case.name, labels, chosen)
        return AddedCase(self._case(entry), labels.volumes_ml(), findings, is_new=False)

    def set_state(self, name: str, state: State) -> CollectedCase:
        """Change the state of a case; what its segmentation's file names now is read anew.

        Raises:
            InputError: If there is no such case or state, or it has no segmentation to be
                "segmented" or "corrected".
            OutputError: If the index cannot be written.
        """
        with self._store.changing() as index:
            entry = self._store.entry(index, name)
            _check_state(state, has_labels=bool(entry.structures))
            structures = self._case(entry).structures_in_file() or entry.structures
            entry = replace(entry, state=state, structures=structures)
            self._store.write(index.changed(entry))
        return self._case(entry)

    def set_patient(self, name: str, patient: str) -> CollectedCase:
        """Say which patient a case is of; see `add`.

        Raises:
            InputError: If there is no such case, or the text is empty.
            OutputError: If the index cannot be written.
        """
        with self._store.changing() as index:
            entry = replace(self._store.entry(index, name), patient=_patient(index.salt, patient))
            self._store.write(index.changed(entry))
        return self._case(entry)

    def remove(self, name: str) -> tuple[Path, ...]:
        """Delete a case: its CT, its segmentation and its folder.

        Returns:
            Other files that lie in the folder; they stay, and so does the folder then.

        Raises:
            InputError: If there is no such case, or its folder is not in the collection.
            OutputError: If it cannot be deleted.
        """
        return self._store.delete(name)

    # --- adding -----------------------------------------------------------------------------------

    def _add(
        self,
        image: NewImage,
        segmentation: Labels | Path | None,
        name: str | None,
        state: State | None,
        patient: str | None,
        names: Sequence[Structure],
        replace_segmentation: bool,
        home: Path | None = None,
    ) -> AddedCase:
        labels, findings = None, image.findings
        if segmentation is not None:
            labels, more = new_labels(segmentation, names, image.volume)
            findings += more
        chosen = _state(state, labels)
        salt = self._store.salt()
        key = image_key(salt, image.volume)
        who = patient if patient is not None else image.patient
        entry = Entry(
            name or "",
            chosen,
            _patient(salt, who) if patient is not None or who else key,
            key,
            () if labels is None else labels.structures,
        )
        volumes = {} if labels is None else labels.volumes_ml()
        same = self._same_ct(self._store.read(), entry, replace_segmentation)
        if same is not None and labels is not None:
            placed = _on_grid_of(labels, self._case(same))
            chosen = _state(state or _kept(same.state), labels)
            changed = self._store.put_segmentation(same.name, placed, chosen)
            return AddedCase(self._case(changed), volumes, findings, is_new=False)
        if entry.name:
            self._store.refuse_taken(self._store.read(), entry.name, home)
        findings += self._same_patient(entry, told=patient is not None)

        def refuse_same(index: Index) -> None:
            if self._same_ct(index, entry, replace_segmentation) is not None:
                raise InputError(tr("Another program has just added this CT; add it again."))

        entry = self._store.put(image.volume, labels, entry, refuse_same, home)
        left = () if home is None else tuple(path.name for path in other_files(home))
        return AddedCase(self._case(entry), volumes, findings, left_behind=left)

    def _same_ct(self, index: Index, entry: Entry, replace_segmentation: bool) -> Entry | None:
        """The case that holds this CT, if it may get the segmentation; None if there is none.

        Raises:
            InputError: If there is one that may not.
        """
        same = index.with_image(entry.image)
        if same is None:
            return None
        if entry.name and entry.name.lower() != same.name.lower():
            raise InputError(
                tr(
                    "This CT is in the collection already, as {same} and not as {entry}; leave "
                    "the name out, or remove that case."
                ).format(same=same.name, entry=entry.name)
            )
        if not entry.structures:
            raise InputError(
                tr(
                    "This CT is in the collection already, as {same}; add its segmentation, or "
                    "another CT."
                ).format(same=same.name)
            )
        if same.structures and not replace_segmentation:
            raise InputError(
                tr(
                    "This CT is in the collection already, as {same}; ask to replace its "
                    "segmentation (--replace) if the new one is better."
                ).format(same=same.name)
            )
        return same

    def _same_patient(self, entry: Entry, told: bool) -> tuple[Finding, ...]:
        others = [one.name for one in self._store.read().entries if one.patient == entry.patient]
        if not others or told:
            return ()
        return (
            Finding(
                "reader",
                tr(
                    "Counts as the same patient as {other}, by the PatientID; if it is another "
                    "one, say so (--patient TEXT)."
                ).format(other=", ".join(others[:3])),
            ),
        )

    def _case(self, entry: Entry) -> CollectedCase:
        return CollectedCase(
            entry.name,
            entry.state,
            entry.patient,
            entry.structures,
            self.path / entry.name,
            self._store.segmentation_of(entry),
        )


def _path(source: Source | str) -> Source | Path:
    return Path(source) if isinstance(source, str) else source


def _on_grid_of(labels: LayeredLabels, case: CollectedCase) -> LayeredLabels:
    """Structures on the voxels of a case's CT, whose axes may run otherwise than in another file.

    Raises:
        InputError: If the case's CT lies elsewhere in space.
    """
    placed = labels.placed_on(case.read_ct().geometry)
    if placed is None:
        raise InputError(
            tr(
                "{case} holds this CT at another place in space, so the segmentation does not "
                "fit; give that of the same file, or remove the case and add both again."
            ).format(case=case.name)
        )
    return placed


def _check_name(name: str | None) -> None:
    problem = "" if name is None else problem_with_name(name)
    if problem:
        raise InputError(
            tr("The name {name} {problem}; choose another, or give none.").format(
                name=shown(name), problem=problem
            )
        )


def _kept(state: State) -> State | None:
    """The state that a case keeps when it gets another segmentation: nothing learns from it."""
    return state if state == "left-out" else None


def _state(state: State | None, labels: LayeredLabels | None) -> State:
    if state is None:
        return "to-do" if labels is None else "corrected"
    _check_state(state, has_labels=labels is not None)
    return state


def _check_state(state: str, has_labels: bool) -> None:
    if state not in STATES:
        raise InputError(
            tr("The state {state} is unknown; choose one of {states}.").format(
                state=shown(state), states=", ".join(STATES)
            )
        )
    if state in ("segmented", "corrected") and not has_labels:
        raise InputError(
            tr(
                "A case without a segmentation cannot be {state}; give one, or leave it to-do."
            ).format(state=state)
        )


def _patient(salt: str, text: str) -> str:
    if not text.strip():
        raise InputError(tr("The patient is called nothing; give any text, such as A."))
    return patient_key(salt, text)
