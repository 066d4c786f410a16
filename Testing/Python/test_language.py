"""Texts in the user's language: which catalogue is taken, and English where it has no good text."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from catalogue_maker import Text, write_catalogue

from SDSegLib import language
from SDSegLib.language import tr, trn

VARIABLES = ("SDSEG_LANGUAGE", "LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG", "SDSEG_LOCALE")
GERMAN: dict[Text, Text] = {
    "Model": "Modell",
    "{name} does not exist.": "{name} gibt es nicht.",
    "{share:.0%} of {name}": "{share} von {name}",
    "Slice {number}": "Schicht {nummer}",
    "Unknown {name!r}": "Unbekannt",
    "Time {seconds} s": "Zeit {seconds",
    ("One case", "{count} cases"): ("Ein Fall", "{count} Fälle"),
    ("{count} slice", "{count} slices"): ("{count} Schicht", "{anzahl} Schichten"),
}

Speak = Callable[..., None]


@pytest.fixture
def speak(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Speak]:
    """Set the environment of a user, and write the catalogues that are there."""

    def set_up(environment: Mapping[str, str], **languages: Mapping[Text, Text]) -> None:
        for name in VARIABLES:
            monkeypatch.delenv(name, raising=False)
        for code, texts in languages.items():
            write_catalogue(tmp_path, code, texts)
        for name, value in {"SDSEG_LOCALE": str(tmp_path), **environment}.items():
            monkeypatch.setenv(name, value)
        language._catalogue.cache_clear()

    yield set_up
    language._catalogue.cache_clear()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "Model"),
        ({"LANG": "de_AT.UTF-8"}, "Modell"),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "de_DE.UTF-8"}, "Modell"),
        ({"LANG": "de_DE.UTF-8", "LC_MESSAGES": "C"}, "Model"),
        ({"LANG": "de_DE.UTF-8", "LC_ALL": ""}, "Modell"),
        ({"LANG": "en_US.UTF-8", "LANGUAGE": "xx:de"}, "Modell"),
        ({"LANG": "de_DE.UTF-8", "LANGUAGE": "en_GB:de"}, "Model"),
        ({"LANG": "de_DE.UTF-8", "SDSEG_LANGUAGE": "en"}, "Model"),
        ({"LC_ALL": "C.UTF-8", "SDSEG_LANGUAGE": "de"}, "Modell"),
        ({"SDSEG_LANGUAGE": "fr"}, "Model"),
        ({"SDSEG_LANGUAGE": "../../etc"}, "Model"),
    ],
)
def test_the_language_is_that_of_the_environment(
    environment: dict[str, str], expected: str, speak: Speak
) -> None:
    speak(environment, de=GERMAN)
    assert tr("Model") == expected
    assert language.language() == ("de" if expected == "Modell" else "en")


def test_english_is_complete_where_a_translation_is_missing(speak: Speak) -> None:
    speak({"LANG": "de_DE.UTF-8"}, de=GERMAN)
    assert tr("{name} does not exist.").format(name="ct.nii") == "ct.nii gibt es nicht."
    assert tr("Slices of {name}").format(name="ct.nii") == "Slices of ct.nii"
    assert tr("") == ""


def test_the_next_language_helps_out(speak: Speak) -> None:
    speak({"LANGUAGE": "fr:de"}, de=GERMAN, fr={"Slices": "Coupes"})
    assert (tr("Slices"), tr("Model"), language.language()) == ("Coupes", "Modell", "fr")


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("{share:.0%} of {name}", {"share": 0.5, "name": "a"}, "50% of a"),  # without its format
        ("Slice {number}", {"number": 3}, "Slice 3"),  # another name
        ("Unknown {name!r}", {"name": "a"}, "Unknown 'a'"),  # left out
        ("Time {seconds} s", {"seconds": 3}, "Time 3 s"),  # no pattern at all
    ],
)
def test_a_translation_with_other_placeholders_is_not_used(
    text: str, values: dict[str, object], expected: str, speak: Speak
) -> None:
    speak({"LANG": "de"}, de=GERMAN)
    assert tr(text).format(**values) == expected


def test_counts_have_the_forms_of_their_language(speak: Speak) -> None:
    speak({"LANG": "de"}, de=GERMAN)
    assert trn("One case", "{count} cases", 1).format(count=1) == "Ein Fall"
    assert trn("One case", "{count} cases", 4).format(count=4) == "4 Fälle"
    assert trn("{count} slice", "{count} slices", 1).format(count=1) == "1 Schicht"
    assert trn("{count} slice", "{count} slices", 2).format(count=2) == "2 slices"
    assert trn("one", "{count} more", 2).format(count=2) == "2 more"
    speak({})
    assert trn("One case", "{count} cases", 1).format(count=1) == "One case"
    assert trn("One case", "{count} cases", 0).format(count=0) == "0 cases"


@pytest.mark.parametrize("content", [b"", b"no catalogue", b"\xde\x12\x04\x95" + b"\xff" * 40])
def test_a_damaged_catalogue_leaves_english(content: bytes, speak: Speak, tmp_path: Path) -> None:
    speak({"LANG": "de"}, de=GERMAN)
    (tmp_path / "de" / "LC_MESSAGES" / "sdseg.mo").write_bytes(content)
    assert tr("Model") == "Model"


def test_in_english_no_catalogue_is_looked_for() -> None:
    code = (
        "import sys; from SDSegLib.language import tr; tr('Model')\n"
        "print({'gettext', 'logging', 'SDSegLib.catalogues'} & set(sys.modules) or '')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "SDSEG_LANGUAGE": "en"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == ""


def test_child_processes_speak_the_same_language(speak: Speak) -> None:
    speak({"LANG": "de"}, de=GERMAN)
    code = "from SDSegLib.language import tr; print(tr('Model'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "Modell"
