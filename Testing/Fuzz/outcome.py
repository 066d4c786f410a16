"""What may come of a mutated input, and what must not."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from SDSegLib.errors import SDSegError
from SDSegLib.processes.guard import UnforeseenError

SAME = "read as before"
TOLD = "read, difference told"
OTHER = "read, another valid value"
REFUSED = "refused with a sentence"
ENDED = "child ended, a sentence"
SILENT = "silent difference"
UNFORESEEN = "unforeseen error"
TRACEBACK = "traceback"
OUTSIDE = "written elsewhere"
PATIENT = "patient named"
LIMIT = "too slow or too large"
OUTCOMES = (
    SAME, TOLD, OTHER, REFUSED, ENDED, SILENT, UNFORESEEN, TRACEBACK, OUTSIDE, PATIENT, LIMIT,
)  # fmt: skip
BAD = (SILENT, UNFORESEEN, TRACEBACK, OUTSIDE, PATIENT, LIMIT)
_SIGNS_OF_AN_END = ("ended unexpectedly", "was not read within", "Memory ran out", "killed from")


@dataclass(frozen=True)
class Outcome:
    """Result of one input.

    Attributes:
        kind: One of `OUTCOMES`.
        detail: The sentence, or what differs.
        input: The file or folder, to be kept if the outcome is bad.
    """

    kind: str
    detail: str = ""
    input: Path | None = None


class Target(Protocol):
    """A reader with good inputs for it and ways to damage them."""

    name: str

    def run(self, dice: random.Random, folder: Path) -> Outcome:
        """Damage an input, written into an empty folder, and read it."""


def outcome_of(work: Callable[[], Outcome], given: Path | None = None) -> Outcome:
    """The outcome of reading; errors other than the library's own are tracebacks for the user."""
    try:
        return work()
    except UnforeseenError as error:
        return Outcome(UNFORESEEN, str(error), given)
    except SDSegError as error:
        text = str(error)
        ended = any(sign in text for sign in _SIGNS_OF_AN_END)
        return Outcome(ENDED if ended else REFUSED, text, given)
    except Exception as error:  # noqa: BLE001  that is what is looked for
        return Outcome(TRACEBACK, f"{type(error).__name__}: {error}", given)


def outcome_within(
    work: Callable[[], Outcome], given: Path, may_change: Sequence[Path] = ()
) -> Outcome:
    """As `outcome_of`; what is written into the input's folder is found as well.

    Args:
        work: Reads the input.
        given: Folder of the input, as it is before it is read.
        may_change: Files and folders in which the work may write.
    """
    before = _state_of(given, may_change)
    outcome = outcome_of(work, given)
    after = _state_of(given, may_change)
    if before == after:
        return outcome
    changed = sorted({path for path, _, _ in before ^ after})
    return Outcome(OUTSIDE, f"changed: {', '.join(changed)}", given)


def _state_of(folder: Path, without: Sequence[Path]) -> set[tuple[str, int, int]]:
    """Name, size and time of all files but those below some places."""
    found = set()
    for path in folder.rglob("*"):
        if any(place == path or place in path.parents for place in without):
            continue
        facts = path.lstat()
        is_folder = path.is_dir() and not path.is_symlink()
        found.add(
            (ascii(str(path)), *((0, 0) if is_folder else (facts.st_size, facts.st_mtime_ns)))
        )
    return found
