"""The texts that translators get: all that users see, as the program says them today."""

from __future__ import annotations

import importlib.util
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
