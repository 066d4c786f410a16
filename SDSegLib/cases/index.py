"""`cases.json`: what a case collection holds. Format 1; see docs/how-to/cases.md."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from secrets import token_hex
from typing import Any, Literal, get_args

from ..errors import InputError
from ..export.atomic import atomic_write
from ..language import tr
from ..untrusted import read_json, shown
from ..volume.structure import Structure

State = Literal["to-do", "segmented", "corrected", "left-out"]
STATES: tuple[State, ...] = get_args(State)
INDEX = "cases.json"
FORMAT = 1
LONGEST_NAME = 64
CT = "ct.nii.gz"
SEGMENTATION = "segmentation.seg.nrrd"
NEXT = ".next.seg.nrrd"
"""A segmentation that counts from now on and has not been moved to its place yet."""

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9_-])?")
_NUMBERED = re.compile(r"case-(\d{1,9})", re.IGNORECASE)
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)
_KEY = re.compile(r"[0-9a-f]{8,64}")
_FILES = {"ct": (CT,), "segmentation": (SEGMENTATION,), "next": (NEXT,)}
_WAY_OUT = tr(
    "Restore it from a copy; or move it out of the folder, and take the cases up into a new "
    "collection with sdseg cases add NEW --folder FOLDER."
)


@dataclass(frozen=True)
class Entry:
    """A case as the index has it.

    Attributes:
        name: Name of the case and of its folder.
        state: One of `STATES`.
        patient: Keyed hash; cases with the same one are of the same patient.
        image: Keyed hash of the CT's voxels.
        structures: Names, colours and codes, with the labels in the file; () without a
            segmentation.
        has_next: Whether the segmentation still lies at `NEXT`.
    """

    name: str
    state: State
    patient: str
    image: str
    structures: tuple[Structure, ...] = ()
    has_next: bool = False

    def to_json(self) -> dict[str, Any]:
        files = {"ct": CT}
        if self.structures:
            files["segmentation"] = SEGMENTATION
        if self.has_next:
            files["next"] = NEXT
        return {
            "name": self.name,
            "state": self.state,
            "patient": self.patient,
            "image": self.image,
            "files": files,
            "structures": [item.to_json() for item in self.structures],
        }

    @classmethod
    def from_json(cls, data: Any) -> Entry:
        """Raises `ValueError` saying what is wrong."""
        if not isinstance(data, dict):
            raise ValueError(tr("it is not an object"))
        missing = [key for key in ("name", "state", "patient", "image", "files") if key not in data]
        if missing:
            raise ValueError(tr('it lacks "{missing}"').format(missing=missing[0]))
        name, state, files = data["name"], data["state"], data["files"]
        problem = problem_with_name(name) if isinstance(name, str) else tr("is not a text")
        if problem:
            raise ValueError(
                tr("its name {name} {problem}").format(name=shown(name), problem=problem)
            )
        if state not in STATES:
            raise ValueError(
                tr("its state {state} is not one of {states}").format(
                    state=shown(state), states=", ".join(STATES)
                )
            )
        for key in ("patient", "image"):
            if not isinstance(data[key], str) or not _KEY.fullmatch(data[key]):
                raise ValueError(
                    tr('its "{key}" {shown} is not a key of digits and a–f').format(
                        key=key, shown=shown(data[key])
                    )
                )
        if not isinstance(files, dict) or any(
            files[key] not in _FILES.get(key, ()) for key in files
        ):
            raise ValueError(
                tr('its "files" {files} are not those of a case').format(files=shown(files))
            )
        structures = tuple(_structure(item) for item in data.get("structures", ()))
        if len({item.label for item in structures}) < len(structures):
            raise ValueError(tr("two of its structures have the same label"))
        if ("segmentation" in files) != bool(structures) or ("next" in files and not structures):
            raise ValueError(tr("it has structures without a segmentation, or the other way round"))
        return cls(name, state, data["patient"], data["image"], structures, "next" in files)


@dataclass(frozen=True)
class Index:
    """The content of `cases.json`.

    Attributes:
        salt: Random, hexadecimal; it goes into all keys of this collection.
        entries: In the order in which they were added.
    """

    salt: str
    entries: tuple[Entry, ...] = ()

    @classmethod
    def new(cls) -> Index:
        """An empty one with its own salt."""
        return cls(token_hex(16))

    @classmethod
    def read(cls, path: Path) -> Index:
        """Read a `cases.json`.

        Raises:
            InputError: If it cannot be read, is damaged, or is of a newer format.
        """
        try:
            data = read_json(path)
        except OSError as error:
            raise InputError(
                tr("{path} cannot be read ({reason}); check its access rights.").format(
                    path=path, reason=error.strerror or error
                )
            ) from error
        except ValueError as error:
            raise InputError(
                tr("{path} is damaged: it is no JSON ({error}). {way_out}").format(
                    path=path, error=error, way_out=_WAY_OUT
                )
            ) from error
        if not isinstance(data, dict) or type(data.get("format")) is not int:
            raise InputError(
                tr('{path} is damaged: it has no number "format". {way_out}').format(
                    path=path, way_out=_WAY_OUT
                )
            )
        if data["format"] < 1:
            raise InputError(
                tr("{path} is damaged: there is no format {format}. {way_out}").format(
                    path=path, format=data["format"], way_out=_WAY_OUT
                )
            )
        if data["format"] > FORMAT:
            raise InputError(
                tr(
                    "{path} is of format {format}, and this version of SDSeg knows formats up "
                    "to {newest}; install a newer version."
                ).format(path=path, format=data["format"], newest=FORMAT)
            )
        try:
            return cls._of(data)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                tr("{path} is damaged: {error}. {way_out}").format(
                    path=path, error=error, way_out=_WAY_OUT
                )
            ) from error

    @classmethod
    def _of(cls, data: dict[str, Any]) -> Index:
        salt, cases = data.get("salt"), data.get("cases")
        if not isinstance(salt, str) or not _KEY.fullmatch(salt) or len(salt) % 2:
            raise ValueError(
                tr('its "salt" {salt} is not a text of pairs of digits and a–f').format(
                    salt=shown(salt)
                )
            )
        if not isinstance(cases, list):
            raise ValueError(tr('it has no list "cases"'))
        entries = []
        for number, item in enumerate(cases, start=1):
            try:
                entries.append(Entry.from_json(item))
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(
                    tr("of case {number}, {error}").format(number=number, error=error)
                ) from error
        counts = Counter(entry.name.lower() for entry in entries)
        twice = [name for name, count in counts.items() if count > 1]
        if twice:
            raise ValueError(tr("it names {twice} twice").format(twice=twice[0]))
        return cls(salt, tuple(entries))

    def write(self, path: Path) -> None:
        """Replace the file; a process that is killed meanwhile leaves the old one.

        Raises:
            OutputError: If it cannot be written.
        """
        data = {
            "format": FORMAT,
            "salt": self.salt,
            "cases": [entry.to_json() for entry in self.entries],
        }
        text = json.dumps(data, indent=1, ensure_ascii=False) + "\n"
        with atomic_write(path, overwrite=True) as temporary:
            temporary.chmod(0o600)
            temporary.write_text(text, encoding="utf-8")

    def find(self, name: str) -> Entry | None:
        """The case with this name, in any case of the letters."""
        return next((item for item in self.entries if item.name.lower() == name.lower()), None)

    def with_image(self, image: str) -> Entry | None:
        """The case that holds this CT."""
        return next((item for item in self.entries if item.image == image), None)

    def changed(self, entry: Entry) -> Index:
        """With an entry in the place of that of the same name, or as a new one at the end."""
        if self.find(entry.name) is None:
            return replace(self, entries=(*self.entries, entry))
        return replace(
            self, entries=tuple(entry if one.name == entry.name else one for one in self.entries)
        )

    def without(self, name: str) -> Index:
        """Without a case."""
        return replace(self, entries=tuple(one for one in self.entries if one.name != name))


def problem_with_name(name: str) -> str:
    """Why a text cannot be the name of a case, as the end of a sentence; "" if it can."""
    if not 0 < len(name) <= LONGEST_NAME:
        return tr("has {count} characters and not 1 to {longest_name}").format(
            count=len(name), longest_name=LONGEST_NAME
        )
    if not _NAME.fullmatch(name):
        return tr(
            "has other characters than letters a–z, digits, dots, hyphens and underscores, or "
            "begins or ends with another than a letter or digit"
        )
    if _RESERVED.fullmatch(name):
        return tr("is a name that Windows reserves")
    return ""


def next_name(taken: list[str]) -> str:
    """case-001, case-002, …: the number after the highest that is taken."""
    numbers = [int(found[1]) for name in taken if (found := _NUMBERED.fullmatch(name))]
    return f"case-{max(numbers, default=0) + 1:03d}"


def _structure(data: Any) -> Structure:
    if not isinstance(data, dict):
        raise ValueError(tr("its structure {data} is not an object").format(data=shown(data)))
    try:
        return Structure.from_json(data)
    except KeyError as error:
        raise ValueError(tr("a structure lacks {error}").format(error=error)) from error
