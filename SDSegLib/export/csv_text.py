"""Texts in CSV files: a spreadsheet takes none of them for a formula."""

from __future__ import annotations

_FORMULA = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")  # the last four are their wide forms
_BEFORE = "' "


def as_text(text: str) -> str:
    """The text, with an apostrophe before it if a spreadsheet would compute it.

    Spreadsheets do so with cells that begin with =, +, -, @, tab or line break. `of_text` gives
    the text back.
    """
    return f"'{text}" if _is_formula(text) else text


def of_text(cell: str) -> str:
    """The text of a cell that `as_text` wrote."""
    return cell[1:] if cell.startswith("'") and _is_formula(cell[1:]) else cell


def _is_formula(text: str) -> bool:
    return text.lstrip(_BEFORE)[:1] in _FORMULA
