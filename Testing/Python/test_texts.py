"""The texts that translators get: all that users see, as the program says them today."""

from __future__ import annotations

import ast
import importlib.util
import re
import string
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def texts() -> ModuleType:
    """Packaging/texts.py, which is no package."""
    pytest.importorskip("babel")
    specification = importlib.util.spec_from_file_location("texts", ROOT / "Packaging/texts.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_files_for_translators_are_up_to_date(texts: ModuleType) -> None:
    assert texts.out_of_date() == [], "run: python Packaging/texts.py write"


def test_a_language_is_begun_and_follows_the_texts(
    texts: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A translator's way: begin, translate, collect anew; the catalogue says what they wrote."""
    from SDSegLib.catalogues import find_catalogue

    monkeypatch.setattr(texts, "FOLDER", tmp_path)
    monkeypatch.setattr(texts, "TEMPLATE", tmp_path / "sdseg.pot")
    texts.add("de")
    texts.write()
    path = tmp_path / "de" / "LC_MESSAGES" / "sdseg.po"
    begun = path.read_text(encoding="utf-8")
    assert 'msgid "My cases"\nmsgstr ""' in begun
    assert '"Plural-Forms: nplurals=2; plural=(n != 1);\\n"' in begun
    translated = begun.replace('msgid "My cases"\nmsgstr ""', 'msgid "My cases"\nmsgstr "Fälle"')
    path.write_text(translated, encoding="utf-8")
    texts.write()
    assert path.read_text(encoding="utf-8") == translated
    monkeypatch.setenv("SDSEG_LOCALE", str(tmp_path))
    catalogue = find_catalogue(["de_AT"])
    assert catalogue is not None
    assert catalogue.language == "de"
    assert catalogue.text("My cases") == "Fälle"
    assert catalogue.text("Result") == "Result"


# --- how texts are written ------------------------------------------------------------------------

LIBRARY = ROOT / "SDSegLib"
FILES = sorted(LIBRARY.rglob("*.py"))
ROOMS = sorted({path.relative_to(LIBRARY).parts[0] for path in FILES})
# Errors of programs, not of users: nobody but a developer reads them.
OF_PROGRAMS = {
    "AssertionError", "AttributeError", "BadZipFile", "Denied", "FileExistsError", "FrameError",
    "IncompleteRead", "KeyError", "LookupError", "NotImplementedError", "OSError", "PackingError",
    "RuntimeError", "TypeError", "ValueError",
}  # fmt: skip
WORD = re.compile(r"[^\W\d_]{2,} +[^\W\d_]{2,}")


def calls_of(tree: ast.AST, *names: str) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
            yield node


def untranslated(node: ast.AST) -> Iterator[str]:
    """Literals with words in an expression that are no texts of `tr` or `trn`."""
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("tr", "trn"):
        return
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and WORD.search(node.value):
        yield node.value
    for inner in ast.iter_child_nodes(node):
        yield from untranslated(inner)


@pytest.mark.parametrize("room", ROOMS)
def test_texts_are_written_so_that_they_can_be_translated(room: str) -> None:
    for path in FILES:
        if path.relative_to(LIBRARY).parts[0] == room:
            check_texts(path)


def check_texts(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            function = node.exc.func
            name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
            found = [] if name in OF_PROGRAMS else list(untranslated(node.exc))
            assert not found, f"{path}, line {node.lineno}: write tr(…) around {found}."
    for call in calls_of(tree, "Option", "Argument", "Finding", "CaseFinding", "Answer"):
        found = list(untranslated(call))
        assert not found, f"{path}, line {call.lineno}: write tr(…) around {found}."
    for call in calls_of(tree, "tr", "trn"):
        if path.name not in ("command_texts.py",):
            texts = call.args[: 1 if call.func.id == "tr" else 2]  # type: ignore[attr-defined]
            assert all(isinstance(text, ast.Constant) for text in texts), (
                f"{path}, line {call.lineno}: give a literal, and the values to format()."
            )


@pytest.mark.parametrize("room", ROOMS)
def test_every_placeholder_has_its_value(room: str) -> None:
    for path in FILES:
        if path.relative_to(LIBRARY).parts[0] == room:
            check_placeholders(path)


def check_placeholders(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        text, values = node.func.value, {item.arg for item in node.keywords}
        if node.func.attr != "format" or not values or not isinstance(text, ast.Call):
            continue
        if not isinstance(text.func, ast.Name) or text.func.id not in ("tr", "trn"):
            continue
        patterns = [item.value for item in text.args[:2] if isinstance(item, ast.Constant)]
        assert set().union(*map(names_in, patterns)) == values, (
            f"{path}, line {node.lineno}: {patterns}"
        )


def names_in(pattern: str) -> set[str]:
    """Names of the values of a pattern, also of those in formats."""
    names = set()
    for _, name, form, _ in string.Formatter().parse(pattern):
        if name is not None:
            names |= {name.partition("[")[0], *names_in(form or "")}
    return names
