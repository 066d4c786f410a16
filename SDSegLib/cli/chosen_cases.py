"""The cases with references that a command line names: of a folder, or of a data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from ..errors import InputError

if TYPE_CHECKING:
    from ..datasets.collection import Collection
    from ..evaluation.pairs import FoundCases
    from ..evaluation.scores import Absent


@dataclass(frozen=True)
class ChosenCases:
    """Cases and where they are from.

    Attributes:
        root: The data folder.
        found: The cases.
        collection: The data set, if one was named.
        facts: Of the data set, for reports.
    """

    root: Path
    found: FoundCases
    collection: Collection | None
    facts: dict[str, Any]

    @property
    def absent(self) -> Absent:
        """What it means that a reference lacks a structure."""
        return "unknown" if self.collection is None else self.collection.recipe.absent

    @property
    def names(self) -> dict[int, str]:
        """Of the data set's labels; nothing without one."""
        if self.collection is None:
            return {}
        return {item.label: item.name for item in self.collection.structures}


def choose_cases(
    argument: Path | None,
    named: Path | None,
    dataset: str | None,
    split: str,
    options: list[str] | None,
    files: tuple[str, str],
    console: Console,
) -> ChosenCases:
    """Find the cases.

    Args:
        argument: The data folder as DATA.
        named: The data folder as `--data`; one of both is given.
        dataset: `--dataset`.
        split: Of the data set.
        options: `--option`.
        files: Names of image and reference in a case's folder.
        console: For notes.

    Raises:
        InputError: If there are none, or what is typed contradicts itself.
    """
    from ..evaluation.collections import cases_of
    from ..evaluation.pairs import find_pairs

    if (argument is None) == (named is None):
        problem = "is missing" if argument is None else "was given twice"
        raise InputError(f"The data folder {problem}; give it once, as DATA or with --data.")
    root = argument or named or Path()
    if dataset is None:
        if options:
            raise InputError(f"--option {options[0]} is for a data set; name it with --dataset.")
        return ChosenCases(root, find_pairs(root, *files), None, {})
    from ..datasets.catalogue import open_dataset, parse_options

    collection = open_dataset(dataset, root, **parse_options(options or []))
    for note in collection.notes:
        console.print(f"[yellow]Note:[/] {escape(note)}", soft_wrap=True, highlight=False)
    facts = {"dataset": dataset, "source": collection.source, "split": split}
    return ChosenCases(root, cases_of(collection, split), collection, facts)
