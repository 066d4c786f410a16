"""Texts of the page's files in the user's language.

In the HTML files every text between tags is translated, and every `title`, `aria-label`, `alt` and
`placeholder`; so are the literals in an expression that stand in `tr('…')`, as in client.js. Values
are named, `tr('Open {name}', { name: item.name })`; between tags `{{ item.name }}` is a value that
translators see as `{item.name}`. Texts that depend on a number come from Python (`trn`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html import escape, unescape

Translate = Callable[[str], str]

_NO_TEXTS = re.compile(r"SDSeg|mL|mm|__[A-Z_]+__")  # names, units, places of other files
_NUMBERS = " \n0123456789%/–…"
_TAG = re.compile(r"""(<!--.*?-->|<(?:[^<>"']|"[^"]*"|'[^']*')*>)""", re.DOTALL)
_INLINE = re.compile(r"</?b>")
_ATTRIBUTE = re.compile(r"""(?<=\s)([\w@:.-]+)="([^"]*)\"""")
_TEXT_ATTRIBUTES = ("title", "aria-label", "alt", "placeholder")
_EXPRESSION = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_VALUE = re.compile(r"\{\{\s*([\w.]+)\s*\}\}")
_PLACEHOLDER = re.compile(r"\{([\w.]+)\}")
_LITERAL = r"""(?:"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')"""
_CALL = re.compile(
    rf"(?<![\w.])tr\(\s*({_LITERAL}(?:\s*\+\s*{_LITERAL})*)\s*(?:,\s*\{{([^{{}}]*)\}}\s*)?,?\s*\)"
)
_UNSAFE = {ord(letter): f"\\x{ord(letter):02x}" for letter in "'\"&<>`"}


def translate_page(html: str, translate: Translate) -> str:
    """The content of an HTML file with translated texts.

    Raises:
        ValueError: If a text has a value that is no name, such as {{ a + b }}.
    """
    parts = _TAG.split(html)
    result, unit = [], ""
    for index, part in enumerate(parts):
        if index % 2 and not _INLINE.fullmatch(part):
            result += [_between_tags(unit, translate), _in_tag(part, translate)]
            unit = ""
        else:
            unit += part
    return "".join([*result, _between_tags(unit, translate)])


def translate_script(script: str, translate: Translate) -> str:
    """JavaScript, or an expression of the page, with translated literals in place of `tr(…)`."""

    def replaced(call: re.Match[str]) -> str:
        literals = re.findall(_LITERAL, call[1])
        text = "".join(_unquoted(literal) for literal in literals)
        values = dict(_named(item) for item in (call[2] or "").split(",") if item.strip())
        pieces = _PLACEHOLDER.split(_kept_whole(text, translate))
        terms = [
            f"({values[piece]})" if index % 2 else _quoted(piece)
            for index, piece in enumerate(pieces)
            if index % 2 or piece or len(pieces) == 1
        ]
        if len(pieces) > 1 and not terms[0].startswith("'"):
            terms.insert(0, "''")  # numbers are put one after the other, not added
        return terms[0] if len(terms) == 1 else f"({' + '.join(terms)})"

    return _CALL.sub(replaced, script)


def _between_tags(unit: str, translate: Translate) -> str:
    """One text of the page; `unit` is all between two tags other than <b>."""
    unit = _EXPRESSION.sub(lambda match: f"{{{{{translate_script(match[1], translate)}}}}}", unit)
    words = _EXPRESSION.sub("", _INLINE.sub("", unit))
    if not re.search(r"[^\W\d_]{2}", words) or _NO_TEXTS.fullmatch(words.strip(_NUMBERS)):
        return unit
    found = _VALUE.sub(r"{\1}", " ".join(unit.split()))
    if "{{" in found:
        raise ValueError(f"The value in {found!r} is no name; write tr('…', {{ name: value }}).")
    tags = _INLINE.findall(found)
    translated = _kept_whole(unescape(found), translate)
    if _INLINE.findall(translated) != tags:
        translated = unescape(found)
    pieces = re.split(r"(</?b>)", translated)
    pieces[::2] = [escape(piece, quote=False) for piece in pieces[::2]]
    around = re.fullmatch(r"(\s*).*?(\s*)", unit, re.DOTALL)
    assert around is not None
    return around[1] + _PLACEHOLDER.sub(r"{{ \1 }}", "".join(pieces)) + around[2]


def _in_tag(tag: str, translate: Translate) -> str:
    def replaced(match: re.Match[str]) -> str:
        name, value = match[1], match[2]
        if name in _TEXT_ATTRIBUTES and re.search(r"[^\W\d_]{2}", value):
            text = escape(_kept_whole(unescape(value), translate), quote=False)
            text = text.replace('"', "&quot;")
            return f'{name}="{text}"'
        if name[0] in ":@" or name.startswith("v-"):
            return f'{name}="{translate_script(value, translate)}"'
        return match[0]

    return _ATTRIBUTE.sub(replaced, tag)


def _kept_whole(text: str, translate: Translate) -> str:
    """A translation that the page can hold; the text itself if it would become an expression."""
    translated = translate(text)
    return text if "{{" in translated or "}}" in translated else translated


def _named(item: str) -> tuple[str, str]:
    name, colon, value = item.partition(":")
    return name.strip(), value.strip() if colon else name.strip()


def _unquoted(literal: str) -> str:
    if literal[0] == "'":
        literal = '"' + literal[1:-1].replace("\\'", "'").replace('"', '\\"') + '"'
    text: str = json.loads(literal)
    return text


def _quoted(text: str) -> str:
    """A literal of JavaScript that can stand in an attribute and between tags."""
    return "'" + text.replace("\\", "\\\\").translate(_UNSAFE).replace("\n", "\\n") + "'"
