"""The language of the texts that users see: gettext, and English where a translation is missing.

A text is written in English where it is used, as `tr("{name} does not exist.").format(name=name)`.
CONTRIBUTING.md tells how to write a text and how to add a language. Importing this file needs no
other; the catalogues are read with the first text, if another language than English is wanted.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .catalogues import Catalogue

LANGUAGE_VARIABLE = "SDSEG_LANGUAGE"
ENGLISH = "en"
_VARIABLES = (LANGUAGE_VARIABLE, "LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")
_UNTRANSLATED = (ENGLISH, "C", "POSIX")


def tr(text: str) -> str:
    """A text in the user's language; the text itself where there is no translation.

    Values are put in afterwards, by name: `tr("{count} slices").format(count=count)`. A translation
    whose placeholders are not those of the text is not used, so formatting never fails by it.

    Args:
        text: In English, written in the call as a literal.
    """
    catalogue = _catalogue()
    return text if catalogue is None else catalogue.text(text)


def trn(one: str, many: str, count: int) -> str:
    """A text that depends on a number, in the user's language.

    Args:
        one: In English, for a count of 1; it may leave the number out.
        many: In English, for all other counts.
        count: Decides which form of the language is taken.
    """
    catalogue = _catalogue()
    if catalogue is None:
        return one if count == 1 else many
    return catalogue.counted(one, many, count)


def language() -> str:
    """Code of the language of the texts, such as "de" or "pt_BR"; "en" without a translation."""
    catalogue = _catalogue()
    return ENGLISH if catalogue is None else catalogue.language


def wanted_languages() -> list[str]:
    """Languages that the environment asks for, the most wanted first, up to English."""
    value = next((os.environ[name] for name in _VARIABLES if os.environ.get(name)), "")
    return list(_before_english(value.split(":")))


def _before_english(codes: list[str]) -> Iterator[str]:
    for code in codes:
        if code.partition(".")[0].partition("_")[0] in _UNTRANSLATED:
            return
        if code:
            yield code


@cache
def _catalogue() -> Catalogue | None:
    """The catalogue in use; None for English."""
    languages = wanted_languages()
    if not languages:
        return None
    from .catalogues import find_catalogue

    return find_catalogue(languages)
