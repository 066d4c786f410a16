"""Catalogues of translated texts, as gettext reads them, and which translations are used."""

from __future__ import annotations

import gettext
import logging
import os
import string
import struct
from collections.abc import Sequence
from functools import cache
from pathlib import Path

DOMAIN = "sdseg"
FOLDER = Path(__file__).parent / "locale"
FOLDER_VARIABLE = "SDSEG_LOCALE"

_DAMAGED = (OSError, ValueError, LookupError, EOFError, struct.error)
_log = logging.getLogger(__name__)

Field = tuple[str, str, str | None]


class Catalogue:
    """Translated texts of one language, and of those to ask where it lacks one.

    Args:
        translations: As gettext has read them.
        language: Code of the language.
    """

    def __init__(self, translations: gettext.NullTranslations, language: str) -> None:
        self._translations = translations
        self.language = language

    def text(self, text: str) -> str:
        """The translation, or the text where there is none with the same placeholders."""
        if not text:
            return text  # gettext answers with the head of the catalogue
        translated = self._translations.gettext(text)
        return translated if fields(translated) == fields(text) else text

    def counted(self, one: str, many: str, count: int) -> str:
        """The form for a count, or an English one where there is none with its placeholders."""
        translated = self._translations.ngettext(one, many, count)
        found, of_one, of_many = fields(translated), fields(one), fields(many)
        english = one if count == 1 else many
        if found is None or of_one is None or of_many is None:
            return english
        return translated if of_one & of_many <= found <= of_one | of_many else english


def find_catalogue(languages: Sequence[str]) -> Catalogue | None:
    """The catalogue of the first language that has one, with those of the others behind it.

    Catalogues lie in the library; a folder with others, which come first, can be named in the
    environment (SDSEG_LOCALE), as FOLDER/de/LC_MESSAGES/sdseg.mo.

    Args:
        languages: Codes such as "de_AT.UTF-8", the most wanted first.
    """
    own = os.environ.get(FOLDER_VARIABLE)
    folders = [own, str(FOLDER)] if own else [str(FOLDER)]
    found: gettext.GNUTranslations | None = None
    for language in languages:
        for folder in folders:
            for path in gettext.find(DOMAIN, folder, [language], all=True):
                translations = _read(path)
                if found is None:
                    found = translations
                elif translations is not None:
                    found.add_fallback(translations)
    return None if found is None else Catalogue(found, found.info().get("language", ""))


def _read(path: str) -> gettext.GNUTranslations | None:
    try:
        with open(path, "rb") as stream:
            return gettext.GNUTranslations(stream)
    except _DAMAGED as error:
        _log.warning("%s is not a catalogue of texts: %s", path, error)
        return None


@cache
def fields(text: str) -> frozenset[Field] | None:
    """Name, format and conversion of all placeholders of a pattern; None if it is no pattern."""
    try:
        parts = list(string.Formatter().parse(text))
    except ValueError:
        return None
    return frozenset(
        (name, form or "", conversion) for _, name, form, conversion in parts if name is not None
    )
