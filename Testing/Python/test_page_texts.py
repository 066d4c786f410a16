"""Texts of the page's files: which are translated, and what a translation cannot break."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from SDSegLib.web.page_texts import translate_page, translate_script

PAGE = Path(__file__).parents[2] / "SDSegLib" / "web" / "page"
FILES = sorted(PAGE.glob("*.html"))
# Words of expressions that are no texts: names of views, of keys and of fields.
WORDS = {"Red", "Green", "Yellow", "ThreeD"}


def upper(text: str) -> str:
    return re.sub(r"(\{[^{}]*\}|</?b>)|(.)", lambda found: found[1] or found[2].upper(), text)


def only_values(text: str) -> str:
    return "".join(re.findall(r"\{[^{}]*\}|</?b>", text))


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<h3>\n  My cases\n</h3>", "<h3>\n  MY CASES\n</h3>"),
        ('<p title="Undo (Z)" id="undo">3 mm</p>', '<p title="UNDO (Z)" id="undo">3 mm</p>'),
        ("<p>In <b>Edit</b>, draw</p>", "<p>IN <b>EDIT</b>, DRAW</p>"),
        ("<p>{{ a.count }} of {{ b }} done</p>", "<p>{{ a.count }} OF {{ b }} DONE</p>"),
        ("<p>{{ busy ? tr('Wait') : tr('Go') }}</p>", "<p>{{ busy ? 'WAIT' : 'GO' }}</p>"),
        (
            """<a :title="tr('Open {name}', { name: item.name })" @click="act('a b')">x</a>""",
            """<a :title="('OPEN ' + (item.name))" @click="act('a b')">x</a>""",
        ),
        ("<p>SDSeg</p><i>{{ value }} mL</i>", "<p>SDSeg</p><i>{{ value }} mL</i>"),
    ],
)
def test_texts_of_the_page_are_translated(html: str, expected: str) -> None:
    assert translate_page(html, upper) == expected


def test_texts_of_the_script_are_translated() -> None:
    script = 'cover(tr("One " + "text"), tr("{count} files", { count: files.length }), "as it is");'
    assert translate_script(script, upper) == (
        "cover('ONE TEXT', ('' + (files.length) + ' FILES'), \"as it is\");"
    )


@pytest.mark.parametrize(
    ("translation", "expected"),
    [
        ("<img src=x>", "&lt;img src=x&gt;"),
        ("{{ secret }}", "Open it"),
        ("Fish & chips", "Fish &amp; chips"),
        ("<b>Open</b>", "Open it"),
    ],
)
def test_a_translation_is_text_and_nothing_else(translation: str, expected: str) -> None:
    assert translate_page("<p>Open it</p>", lambda _: translation) == f"<p>{expected}</p>"


@pytest.mark.parametrize("translation", ["l'état", '" onclick="x', "a\\", "</p>", "a\nb"])
def test_a_translation_stays_within_its_literal(translation: str) -> None:
    page = translate_page("""<p :title="tr('State')" alt="State">x</p>""", lambda _: translation)
    literal = re.fullmatch(r'<p :title="\'((?:[^\'\\"<]|\\.)*)\'" alt="[^"]*">x</p>', page)
    assert literal is not None, page


def test_a_value_between_tags_has_a_name() -> None:
    with pytest.raises(ValueError, match="is no name"):
        translate_page("<p>{{ a + b }} slices</p>", upper)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_text_of_a_page_is_translatable(path: Path) -> None:
    """Literals in expressions stand in tr(…), so a translation without words leaves none."""
    page = translate_page(path.read_text(encoding="utf-8"), only_values)
    expressions = re.findall(r'(?:\s[:@][\w.-]+|\sv-[\w-]+)="([^"]*)"|\{\{(.*?)\}\}', page)
    literals = re.findall(r"'([^']*)'", " ".join(a or b for a, b in expressions))
    words = [
        text
        for text in literals
        if re.search(r"[A-Z][a-z]|[a-z] +[a-z]", text)
        and text not in WORDS
        and not re.match(r"[Mm]\d", text)  # the path of a symbol
    ]
    assert not words, f"Write tr('…') around {words} in {path.name}."
