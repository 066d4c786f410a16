"""Catalogues of texts for tests, also one whose texts are marked, longer and full of accents."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

Text = str | tuple[str, str]

LEFT, RIGHT = "⟦", "⟧"
_ACCENTS = str.maketrans("aeiouycnAEIOUYCN", "áéíöúýçñÁÉÍÖÚÝÇÑ")
# What a translation keeps: placeholders, tags and character references of the page, and the markup
# of rich.
_KEPT = re.compile(r"(\{[^{}]*\}|<[^<>]*>|&\w+;|\[/?(?:bold|dim|red|yellow|cyan|green| )*\])")


def pseudo(text: str) -> str:
    """A text as in a language that nobody speaks: with accents, 30 % longer, between marks."""
    parts = _KEPT.split(text)
    parts[::2] = [part.translate(_ACCENTS) for part in parts[::2]]
    return LEFT + "".join(parts) + " ·" * max(1, round(0.15 * len(text))) + RIGHT


def write_catalogue(folder: Path, language: str, texts: Mapping[Text, Text]) -> None:
    """Write the translations of a language where SDSEG_LOCALE=folder finds them."""
    catalogue = Catalog(locale=language)
    for text, translation in texts.items():
        catalogue.add(text, translation)
    path = folder / language / "LC_MESSAGES" / "sdseg.mo"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        write_mo(stream, catalogue)


def write_pseudo_catalogue(folder: Path, language: str = "eo") -> None:
    """Translate every text that translators get by `pseudo`."""
    template = Path(__file__).parents[2] / "Packaging" / "sdseg.pot"
    with template.open("rb") as stream:
        messages = [message for message in read_po(stream) if message.id]
    write_catalogue(folder, language, {message.id: _marked(message.id) for message in messages})


def _marked(text: Text) -> Text:
    return pseudo(text) if isinstance(text, str) else (pseudo(text[0]), pseudo(text[1]))


def unmarked(shown: str) -> str:
    """What stands outside of all marks, also of marks in marks."""
    depth, kept = 0, []
    for letter in shown:
        depth += letter == LEFT
        if not depth:
            kept.append(letter)
        depth -= letter == RIGHT
    return "".join(kept)
