"""What may come of a mutated input, and what must not."""

from __future__ import annotations

import random
from collections.abc import Callable
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
OUTCOMES = (SAME, TOLD, OTHER, REFUSED, ENDED, SILENT, UNFORESEEN, TRACEBACK)
BAD = (SILENT, UNFORESEEN, TRACEBACK)
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
