"""The module in another language: its source file, and a language in which every text is marked."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from catalogue_maker import write_catalogue
from effect_parts import Person, sample_ct
from module_parts import choose_ct, segment, tiny_models
from standin_fixtures import ROOT, application, module_widget, process_events, process_until
from teach_module_parts import NAMES, drawn
from tiny_model import STRUCTURES

from SDSegLib import language
from SDSegLib.language import LANGUAGE_VARIABLE
from SDSegLib.options import RunOptions
from SDSegLib.resources import resource_folder

__all__ = ["application", "module_widget", "tiny_models"]

_MARKED = re.compile("⟦[^⟦⟧]*⟧")
_WORD = re.compile(r"[A-Za-z]{2,}")
_PLACEHOLDER = re.compile(r"\{[^{}]*\}")
ROLES = {"Display": 0, "ToolTip": 3, "AccessibleText": 11}
# What stays as it is: names of data, models and programs, codes, and texts of the library.
DATA = (
    "SDSeg",
    "CT",
    "ct",
    "ct segmentation",
    "ct segmentation_1",
    "Doe^Jane",
    "drawn",
    "Organ",
    "mine",
    "case-001",
    "tiny",
    "Tiny random model",
    "two",
    "Two",
    "Segmentation_1",
    "my-model",
    "root",
    "tmp",
    "auto",
    "cpu",
    "sdsegs",
)
LIBRARY = (
    re.compile(r"[\w :]+ is for CT of the [\w ]+\."),  # models.fit: why a model was chosen
    re.compile(
        r"Next: the same structure, with the same name, in .+ good beginning\."
    ),  # next_step
    re.compile(r"Random weights; its labels mean nothing\."),  # the summary of a model
)
PACKAGE_NAMES = ("torch", "safetensors", "SimpleITK", "scipy", "filelock", "nibabel")


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    """The script that makes the source file."""
    spec = importlib.util.spec_from_file_location(
        "translations", ROOT / "Packaging" / "translations.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    try:
        module.linguist("lupdate"), module.linguist("lrelease")
    except RuntimeError as error:
        pytest.skip(str(error))
    return module


def marked(text: str) -> str:
    """A text in the language of marks: 30 % longer, with all its placeholders."""
    return f"⟦{text}{'~' * max(1, round(0.3 * len(text)))}⟧"


def write_language(
    tool: ModuleType, folder: Path, translate: Callable[[str], str] = marked
) -> Path:
    """A compiled translation of all texts of the module; empty ones are left out."""
    tree = ElementTree.parse(tool.SOURCE)
    for message in tree.getroot().iter("message"):
        translation = message.find("translation")
        assert translation is not None
        translation.text = translate(message.findtext("source") or "")
        if translation.text:
            translation.attrib.pop("type", None)
    source, compiled = folder / "SDSeg_xx.ts", folder / "SDSeg_xx.qm"
    tree.write(source, encoding="utf-8", xml_declaration=True)
    command = [tool.linguist("lrelease"), str(source), "-qm", str(compiled)]
    subprocess.run(command, check=True, capture_output=True)
    return compiled


@pytest.fixture
def use_language(application: Any) -> Iterator[Callable[[Path], None]]:
    """Function by which the application takes up a language, as 3D Slicer does at its start."""
    from PySide6.QtCore import QCoreApplication, QTranslator

    translators = []

    def use(path: Path) -> None:
        translator = QTranslator()
        assert translator.load(str(path))
        QCoreApplication.installTranslator(translator)
        translators.append(translator)

    yield use
    for translator in translators:
        QCoreApplication.removeTranslator(translator)


@pytest.fixture
def widget(
    use_language: Callable[[Path], None],
    tool: ModuleType,
    module_widget: Callable[[str], Any],
    tiny_models: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    """The module's open widget in the language of marks."""
    use_language(write_language(tool, tmp_path))
    monkeypatch.setenv("SDSEG_MODELS", str(tiny_models))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    opened = module_widget("SDSegSlicer")
    opened.window.parameters.model = "tiny"
    return opened


def texts_of(root: Any) -> Iterator[tuple[str, str]]:
    """All texts that a user sees or hears of the visible widgets in a panel, with their places."""
    import qt

    for item in [root, *root.findChildren(qt.QWidget)]:
        if not item.visible or item.parentWidget().className() == "qMRMLNodeComboBox":
            continue  # the latter are of 3D Slicer, which translates them
        name = item.objectName or type(item).__name__
        for key in ("text", "title", "placeholderText", "toolTip", "accessibleName", "whatsThis",
                    "suffix", "prefix", "specialValueText", "format", "statusTip"):  # fmt: skip
            value = getattr(item, key, "")
            if isinstance(value, str) and key not in CONTENT.get(name, ()):
                yield f"{name}.{key}", value
        for kind in (qt.QComboBox, qt.QListWidget, qt.QTableWidget):
            if isinstance(item, kind):
                count = item.columnCount if isinstance(item, qt.QTableWidget) else 1
                for text in model_texts(item.model(), count):
                    yield f"{name} item", text


CONTENT = {
    "logView": ("text",),  # the log of the worker, in English for reports of faults
    "modelCard": ("text",),  # the card that comes with a model
    "qt_spinbox_lineedit": ("text",),  # a number with its suffix, which is a property of its own
}


def model_texts(model: Any, columns: int) -> Iterator[str]:
    """Cells, headers and tool tips of a list, table or box."""
    import qt

    for row in range(model.rowCount()):
        for column in range(columns):
            for role in ROLES.values():
                yield str(model.data(model.index(row, column), qt.Qt.ItemDataRole(role)) or "")
    for column in range(columns if columns > 1 else 0):
        yield str(model.headerData(column, qt.Qt.Horizontal) or "")


def library_texts() -> set[str]:
    """Texts that come from the library and the models, which the module shows as they are."""
    import json

    found = {item.metadata.get(key, "") for item in fields(RunOptions) for key in ("title", "help")}
    for path in (resource_folder() / "Models").glob("*/model.json"):
        description = json.loads(path.read_text(encoding="utf-8"))
        found |= {str(description.get(key, "")) for key in ("title", "summary", "license")}
    return {text for text in found if text}


def unmarked(text: str) -> str:
    """Words of a text that neither the module has translated nor are expected to stay."""
    text = re.sub("<[^<>]*>|\u200b", "", text)
    text = re.sub(r"(^|(?<=\W))/[^\s⟦⟧~]+", " ", text)  # paths
    while _MARKED.search(text):
        text = _MARKED.sub(" ", text)
    for pattern in LIBRARY:
        text = pattern.sub(" ", text)
    for known in sorted(library_texts(), key=len, reverse=True):
        text = text.replace(known, " ")
    names = [*DATA, *PACKAGE_NAMES, *NAMES, *(item.name for item in STRUCTURES)]
    for name in sorted(names, key=len, reverse=True):
        text = re.sub(rf"\b{re.escape(name)}\b", " ", text)
    return text.strip() if _WORD.search(text) else ""


def look(root: Any) -> list[str]:
    """Texts of a panel that are not translated."""
    process_events(0.3)
    return [
        f"{where}: {left!r} in {text!r}"
        for where, text in texts_of(root)
        if (left := unmarked(text))
    ]


def check(widget: Any, state: str) -> None:
    ui = widget.ui
    places = [item for item in (ui.editorPlace, ui.show3DPlace) if item.visible]
    for item in places:
        item.setVisible(False)  # widgets of 3D Slicer, which have their own translations
    found = look(ui.contentArea.parentWidget())
    for item in places:
        item.setVisible(True)
    assert not found, state + "\n" + "\n".join(found)


def test_the_source_of_translations_is_up_to_date(tool: ModuleType, tmp_path: Path) -> None:
    assert tool.differences(tool.extract(tmp_path)) == []


def test_the_module_is_translated_in_every_state(
    widget: Any, application: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from SDSegSlicerLib import requirements

    ui = widget.ui
    assert ui.segmentButton.text == marked("&Segment")
    check(widget, "empty")
    choose_ct(widget)
    check(widget, "a CT")
    for section in (ui.advancedSection, ui.teachSection):
        section.click()
    ui.modelCardButton.click()
    check(widget, "Advanced")
    widget.window.parameters.samples = 3
    ui.segmentButton.click()
    texts = set()

    def is_done() -> bool:
        texts.add(ui.statusLabel.text)
        return not widget.window.controller.isBusy

    process_until(is_done, 180)
    assert [text for text in texts if unmarked(text)] == []
    check(widget, "a result")
    for section in (ui.inputSection, ui.editSection):
        if section.collapsed:
            section.click()
    ui.addToCasesButton.click()
    check(widget, "a case to add")
    ui.closeAddCaseButton.click()
    widget.window.parameters.samples = 1
    segment(widget)
    check(widget, "one sample")
    monkeypatch.setattr(requirements, "_isThere", lambda package: False)
    ui.segmentButton.click()
    assert ui.dependencyFrame.visible
    check(widget, "packages are missing")
    assert "torch" in ui.dependencyText.text
    assert "{" not in ui.dependencyText.text, "placeholders are filled in"


def test_teach_is_translated(widget: Any, application: Any, tmp_path: Path) -> None:
    ui = widget.ui
    ui.inputSection.click()
    ui.teachSection.click()
    check(widget, "no folder")
    application.dialogs.expect(marked("Folder for your cases"), str(tmp_path / "tmp"))
    ui.caseFolderButton.click()
    widget.window.addToCases(drawn(0)[1])
    process_until(lambda: widget.window.addCase._looking is None, 30)
    check(widget, "a case to add")
    if not ui.caseConsentCheckBox.isHidden():
        ui.caseConsentCheckBox.click()
    ui.addCaseButton.click()
    process_until(lambda: not widget.window.addCase.isBusy, 30)
    check(widget, "a case")


def test_the_effect_is_translated(widget: Any, application: Any) -> None:
    from SDSegLib.mrml.volumes import volume_to_node

    application.app.startupCompleted.emit()
    person = Person(volume_to_node(sample_ct()))
    person.editor.show()
    person.choose_effect()
    frame = person.ui.applyButton.parentWidget()
    assert look(frame) == []
    for number in (20, 26):
        person.draw(number)
    process_events(0.3)
    person.ui.allButton.click()
    person.wait_for_preview()
    assert not person.session.error
    assert look(frame) == []
    person.editor.setActiveEffect(None)


def test_texts_that_a_language_lacks_are_english(
    use_language: Callable[[Path], None],
    tool: ModuleType,
    module_widget: Callable[[str], Any],
    tmp_path: Path,
) -> None:
    """And a translation that lost a placeholder is not used."""
    known = {"Segment it nevertheless": "Dennoch segmentieren",
             "{count} of {total}": "{anzahl} von {total}"}  # fmt: skip
    use_language(write_language(tool, tmp_path, lambda text: known.get(text, "")))
    ui = module_widget("SDSegSlicer").ui
    assert ui.segmentAnywayCheckBox.text == "Dennoch segmentieren"
    assert ui.segmentButton.text == "&Segment"
    assert ui.statusLabel.text == "Choose a CT volume first."
    assert "anzahl" not in ui.structureFacts.text
    for text in tool.texts_of(tool.SOURCE)["SDSegSlicerLib.libraryTexts"]:
        assert _PLACEHOLDER.findall(marked(text)) == _PLACEHOLDER.findall(text)


@pytest.mark.parametrize(
    ("slicers", "own", "expected"),
    [("de_DE", None, "Modell"), ("de-DE", None, "Modell"), ("en_US", None, "Model"),
     ("de_DE", "en", "Model"), ("", None, "Model")],
)  # fmt: skip
def test_the_library_speaks_the_language_of_3d_slicer(
    slicers: str,
    own: str | None,
    expected: str,
    application: Any,
    module_widget: Callable[[str], Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """In this process and in those that it starts, whatever the language of the computer."""
    write_catalogue(tmp_path, "de", {"Model": "Modell"})
    monkeypatch.setenv("SDSEG_LOCALE", str(tmp_path))
    monkeypatch.setenv("LANG", "C.UTF-8" if slicers else "en_US.UTF-8")
    monkeypatch.delenv(LANGUAGE_VARIABLE)
    if own is not None:
        monkeypatch.setenv(LANGUAGE_VARIABLE, own)
    monkeypatch.setattr(type(application.app), "applicationLocaleName", slicers)
    language._catalogue.cache_clear()
    module_widget("SDSegSlicer")
    from SDSegSlicerLib.background import childEnvironment

    said = language.tr("Model")
    language._catalogue.cache_clear()
    code = "from SDSegLib.language import tr; print(tr('Model'))"
    child = subprocess.run(
        [sys.executable, "-c", code], env=childEnvironment(), capture_output=True, text=True
    )
    assert (said, child.stdout.strip()) == (expected, expected), child.stderr
