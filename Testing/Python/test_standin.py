"""The stand-in for 3D Slicer's application is strict about names and behaves like PythonQt."""

# ruff: noqa: F401, F811

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from standin_fixtures import (
    EXAMPLE,
    ROOT,
    application,
    example,
    module_widget,
    picture,
    process_events,
    process_until,
    trouble,
    why_not,
)

# Names that do not exist


@pytest.mark.parametrize(
    "line",
    [
        "qt.QPushBotton",
        "qt.Qt.AlignLeeft",
        "qt.QLabel().txet",
        "qt.QLabel().setTxet('a')",
        "setattr(qt.QLabel(), 'txet', 'a')",
        "setattr(qt.QPushButton(), 'setText', 'a')",
        "setattr(qt.QTableWidgetItem(), 'color', 1)",
        "setattr(qt.QLabel(), 'sizeHint', qt.QSize(1, 1))",
        "qt.QPushButton().klicked.connect(print)",
        "qt.QPushButton().connect('klicked()', print)",
        "qt.QPushButton().connect('clicked(int)', print)",
        "qt.QCheckBox().checkStateChanged.connect(print)",
        "qt.QComboBox().labelDrawingMode",
        "ctk.ctkCollapsibleButton().colapsed",
        "setattr(ctk.ctkCollapsibleButton(), 'colapsed', True)",
        "ctk.ctkCollapsibleButton().setCollapsed(True)",  # a property, but no slot
        "ctk.ctkCollapsibleGroupBox().setCollapsed(True)",
        "ctk.ctkSliderWidget().setMaximum(1.0)",
        "ctk.ctkPathLineEdit().setFilters(1)",
        "slicer.qMRMLNodeComboBox().setNodeTypes(['vtkMRMLVolumeNode'])",
        "slicer.qMRMLNodeComboBox().setNoneEnabled(True)",
        "ctk.ctkSomething",
        "slicer.qMRMLNodeComboBocks",
        "setattr(slicer.qMRMLNodeComboBox(), 'noneEnable', True)",
        "slicer.qMRMLNodeComboBox().connect('currentNodeChanged(vtkMRMLVolumeNode*)', print)",
        "slicer.util.errorDisplai('a')",
        "slicer.errorDisplay('a')",
        "slicer.app.aplicationName",
        "setattr(slicer.app, 'foo', 1)",
        "slicer.modules.nosuchmodule",
        "slicer.app.layoutManager().sliceViews()",
        "slicer.mrmlScene.AddNewNode()",
    ],
)
def test_a_name_that_slicer_has_not_is_an_attribute_error(application: Any, line: str) -> None:
    import ctk
    import qt
    import slicer

    with pytest.raises(AttributeError):
        eval(line, {"qt": qt, "ctk": ctk, "slicer": slicer})


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("qt.QLabel('a').text()", TypeError),
        ("qt.QComboBox().count()", TypeError),
        ("qt.QPushButton().setText(5)", TypeError),
        ("setattr(slicer.qMRMLNodeComboBox(), 'nodeTypes', 'vtkMRMLVolumeNode')", TypeError),
        ("slicer.app.resumeRender()", RuntimeError),
        ("qt.QSettings().value('a', type=bool)", TypeError),
        ("slicer.qMRMLSegmentEditorWidget().setMRMLSegmentEditorNode(slicer.mrmlScene)", TypeError),
    ],
)
def test_wrong_use_is_an_error(application: Any, line: str, error: type[Exception]) -> None:
    import qt
    import slicer

    with pytest.raises(error):
        eval(line, {"qt": qt, "slicer": slicer})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('class="ctkSliderWidget" name', 'class="ctkSlider" name'),
        ('name="addEnabled"', 'name="addEnable"'),
        ("<receiver>volumeSelector", "<receiver>volumeSelektor"),
        ("mrmlSceneChanged(vtk", "sceneChanged(vtk"),
        ("<slot>setMRMLScene", "<slot>setScene"),
        ('name="SlicerParameterName" stdset="0"', 'name="SlicerParameterName"'),
    ],
)
def test_a_wrong_ui_file_is_an_error(
    application: Any,
    tmp_path: Path,
    old: str,
    new: str,
) -> None:
    import slicer

    text = (EXAMPLE.parent / "Resources/UI/Example.ui").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "wrong.ui"
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises((RuntimeError, AttributeError)):
        slicer.util.loadUI(str(path))
    application.qt_warnings.clear()


def test_the_source_is_read_for_lines_that_nobody_runs(application: Any, tmp_path: Path) -> None:
    from slicer_standin.static_check import problems_in

    path = tmp_path / "module.py"
    path.write_text(
        "import qt, slicer\n"
        "from slicer.util import VTKObservationMixing\n"
        "def never():\n"
        "    qt.QPushButton('a', clicked=print)\n"
        "    slicer.util.eror('a')\n"
        "    qt.Qt.CheckState.Checked\n"
        "    button.connect('clicked', print)\n"
        "    slicer.util.errorDisplay('a', windowTitle='b')\n",
        encoding="utf-8",
    )
    lines = [int(problem.split(":")[1]) for problem in problems_in(path)]
    assert lines == [2, 4, 5, 6, 7]
    assert not problems_in(EXAMPLE)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("self.ui.advancedButton.setCollapsed(True)", "ctkCollapsibleButton, which has no"),
        ("self.ui.volumeSelector.nodes()", "qMRMLNodeComboBox, which has no 'nodes'"),
        ("self.ui.applyButtom.click()", "no widget 'applyButtom'"),
        ("self.ui.statusLabel.setTxet('a')", "QLabel, which has no 'setTxet'"),
        ("self.section.setCollapsed(True)", "self.section is a ctkCollapsibleButton"),
        ("timer.setIntervall(5)", "timer is a QTimer"),
        ("manager.loadModule('a')", "manager is a qSlicerModuleManager, which has no 'loadModule'"),
        ("slicer.app.ioManager().history()", "is a qSlicerIOManager, which has no 'history'"),
        ("slicer.app.moduleManager().moduleUnloaded", "has no 'moduleUnloaded'"),
    ],
)
def test_calls_of_widgets_that_do_not_exist_are_found_without_running_them(
    application: Any, tmp_path: Path, line: str, words: str
) -> None:
    from slicer_standin.static_check import problems_in

    shutil.copytree(EXAMPLE.parent / "Resources", tmp_path / "Resources")
    path = tmp_path / "module.py"
    path.write_text(
        "import ctk, qt, slicer\n"
        "class Widget:\n"
        "    def never(self):\n"
        "        self.section = ctk.ctkCollapsibleButton()\n"
        "        self.section.collapsed = True\n"
        "        timer = qt.QTimer()\n"
        "        timer.setInterval(5)\n"
        "        manager = slicer.app.moduleManager()\n"
        "        manager.modulesNames()\n"
        "        self.ui.advancedButton.collapsed = True\n"
        f"        {line}\n",
        encoding="utf-8",
    )
    (problem,) = problems_in(path)
    assert words in problem


def test_the_stand_in_offers_nothing_that_the_headers_do_not_have(application: Any) -> None:
    from slicer_standin.fields import fields
    from slicer_standin.known_calls import check_classes

    class ctkMenuButton:  # noqa: N801
        vars().update(fields("*", collapsed=(bool, False)))

    with pytest.raises(AttributeError, match="collapsed, setCollapsed"):
        check_classes([ctkMenuButton])


def test_objects_of_the_application_and_small_widgets_refuse_what_they_lack(
    application: Any,
) -> None:
    import ctk
    import slicer

    spin, box, menu = ctk.ctkDoubleSpinBox(), ctk.ctkMessageBox(), ctk.ctkMenuButton("a")
    manager, io = slicer.app.moduleManager(), slicer.app.ioManager()
    assert io is slicer.app.coreIOManager()
    for thing, name in (
        (spin, "setMinimum"),  # CTK's is no QDoubleSpinBox, and this is an ordinary method
        (spin, "setSpecialValueText"),
        (box, "confirmExit"),
        (menu, "collapsed"),
        (manager, "loadModule"),
        (manager, "moduleUnloaded"),
        (manager.factoryManager(), "registerModules"),
        (io, "registerIO"),
    ):
        with pytest.raises(AttributeError):
            getattr(thing, name)
        with pytest.raises(AttributeError):
            setattr(thing, f"{name}Not", 1)
    got: list[float] = []
    spin.connect("valueChanged(double)", got.append)
    spin.maximum, spin.decimals = 5.0, 1
    spin.value = 7
    spin.stepDown()
    assert (spin.value, got) == (4.0, [5.0, 4.0])
    box.setDontShowAgain(True)
    assert box.dontShowAgain


def test_the_module_names_only_what_slicer_has(application: Any) -> None:
    from slicer_standin.static_check import problems_in

    sources = sorted((ROOT / "SDSegSlicer").rglob("*.py"))
    assert len(sources) > 1
    assert not [problem for path in sources for problem in problems_in(path)]


# Widgets as PythonQt has them


def test_properties_and_setters(application: Any) -> None:
    import ctk
    import qt

    button = qt.QPushButton("a")
    button.text = "b"
    assert (button.text, button.checked, button.isChecked()) == ("b", False, False)
    button.setText("c")
    button.name = "okButton"
    assert (button.text, button.objectName) == ("c", "okButton")
    slider = ctk.ctkSliderWidget()
    slider.minimum, slider.maximum = 0.0, 10.0
    slider.value = 25
    assert slider.value == 10.0
    table = qt.QTableWidget(3, 2)
    item = qt.QTableWidgetItem("x")
    item.setCheckState(qt.Qt.Checked)
    table.setItem(0, 0, item)
    assert (table.rowCount, table.item(0, 0).text(), item.checkState()) == (3, "x", 2)
    parent = qt.QWidget()
    layout = qt.QVBoxLayout(parent)
    layout.addWidget(button)
    assert parent.findChild(qt.QPushButton, "okButton") is button
    assert parent.children() == (layout, button)
    button.delete()
    assert parent.findChild(qt.QPushButton, "okButton") is None


def test_signals_give_as_many_arguments_as_are_wanted(application: Any) -> None:
    import qt

    got: list[Any] = []

    class Receiver:
        def none(self) -> None:
            got.append("none")

        def one(self, checked: bool) -> None:
            got.append(checked)

        def every(self, *values: Any) -> None:
            got.append(values)

    button, receiver = qt.QPushButton(), Receiver()
    button.connect("clicked(bool)", receiver.none)
    button.clicked.connect(receiver.one)
    button.connect("clicked()", receiver.every)
    button.clicked.connect(lambda name="mine": got.append(name))  # PythonQt passes `checked`
    button.click()
    assert got == ["none", False, (), False]
    button.disconnect("clicked(bool)", receiver.none)
    button.clicked.disconnect(receiver.one)
    with pytest.raises(AttributeError):
        button.disconnect("clicked(bool)", receiver.none)
    got.clear()
    button.click()
    assert got == [(), False]


def test_a_class_derived_in_python_takes_attributes_and_overrides(application: Any) -> None:
    import qt

    class Label(qt.QLabel):
        def __init__(self) -> None:
            super().__init__("a")
            self.presses = 0
            self.connect("linkActivated(QString)", self.onLink)

        def sizeHint(self) -> Any:  # noqa: N802
            return qt.QSize(321, 20)

        def onLink(self, text: str) -> None:  # noqa: N802
            self.presses += 1

    label = Label()
    window = qt.QWidget()
    qt.QHBoxLayout(window).addWidget(label)
    assert window.sizeHint.width() > 321
    assert isinstance(label, qt.QWidget)
    assert label.text == "a"


def test_timers_settings_and_the_clipboard(application: Any) -> None:
    import qt
    import slicer

    ticks: list[int] = []
    timer = qt.QTimer()
    timer.setInterval(1)
    timer.timeout.connect(lambda: ticks.append(1))
    timer.start()
    qt.QTimer.singleShot(0, lambda: ticks.append(2))
    process_until(lambda: 1 in ticks and 2 in ticks, 2)
    assert timer.active
    qt.QSettings().setValue("SDSeg/Folder", "/a/ü")
    assert slicer.util.settingsValue("SDSeg/Folder", "") == "/a/ü"
    assert slicer.util.settingsValue("SDSeg/Other", True, slicer.util.toBool) is True
    slicer.app.clipboard().setText("copied")
    assert slicer.app.clipboard().text() == "copied"


def test_a_section_hides_what_is_in_it(application: Any, example: Any, tmp_path: Path) -> None:
    assert not example.ui.structuresComboBox.visible
    example.ui.advancedButton.collapsed = False
    process_events()
    assert example.ui.structuresComboBox.visible
    assert example.ui.volumeSelector.visible
    example.ui.inputsButton.click()
    assert example.ui.inputsButton.collapsed
    assert not example.ui.volumeSelector.visible
    path = picture(application.mainWindow, tmp_path / "window.png")
    assert path.stat().st_size > 5000


def test_check_boxes_in_a_combo_box(application: Any) -> None:
    import ctk
    import qt

    box = ctk.ctkCheckableComboBox()
    changes: list[int] = []
    box.connect("checkedIndexesChanged()", lambda: changes.append(1))
    box.addItems(["Mandible", "Larynx"])
    assert box.noneChecked()
    box.setCheckState(box.model().index(1, 0), qt.Qt.Checked)
    assert [index.row() for index in box.checkedIndexes()] == [1]
    assert changes == [1]


# Dialogs, errors, versions


def test_dialogs_are_announced_and_answered(application: Any, example: Any) -> None:
    application.dialogs.expect("Replace", "No")
    example.ui.applyButton.click()
    assert example.ui.statusLabel.text == ""
    application.dialogs.expect("replace", "Yes")
    example.ui.applyButton.click()
    process_events()
    assert example.ui.statusLabel.text == "Replaced"
    assert application.mainWindow.statusBar().currentMessage() == "done"
    assert [dialog.buttons for dialog in application.dialogs.shown] == [("Yes", "No")] * 2
    assert "Replaced" in application.translated


def test_a_dialog_that_nobody_announced_is_trouble(application: Any, example: Any) -> None:
    example.ui.applyButton.click()
    assert [dialog.text for dialog in application.dialogs.unexpected] == [
        "Replace the segmentation?"
    ]
    application.dialogs.expect("never comes")
    assert len(trouble(application)) == 3  # the exception, the dialog, and the one that is missing
    application.dialogs.clear()
    application.errors.clear()


def test_quitting_is_announced_before_modules_are_unloaded() -> None:
    reason = why_not()
    if reason:
        pytest.skip(reason)
    from slicer_standin import boot

    session = boot()
    import slicer

    session.load_module(EXAMPLE)
    widget = slicer.util.getModuleWidget("Example")
    slicer.app.connect("aboutToQuit()", lambda: widget.calls.append("quit"))
    session.close()
    assert widget.calls == ["quit", "cleanup"]
    assert not session.errors


def test_exceptions_in_slots_are_kept(application: Any) -> None:
    import qt

    button = qt.QPushButton()
    button.clicked.connect(lambda: 1 / 0)
    button.click()
    assert "ZeroDivisionError" in application.errors.pop()
    assert not application.errors


def test_file_dialogs_return_the_path_alone(application: Any, tmp_path: Path) -> None:
    import qt

    wanted = str(tmp_path / "a.nrrd")
    application.dialogs.expect("Save", wanted)
    assert qt.QFileDialog.getSaveFileName(None, "Save", "", "NRRD (*.nrrd)") == wanted
    application.dialogs.expect("Open")
    assert qt.QFileDialog.getOpenFileName(None, "Open", "") == ""


def test_pip_is_only_recorded(application: Any) -> None:
    import slicer
    import slicer.packaging

    assert slicer.packaging.pip_check("pytest")
    slicer.packaging.pip_ensure(["pytest", "no-such-package>=1"], requester="SDSeg")
    assert application.pip.installed == [["no-such-package>=1"]]
    slicer.util.pip_install("also-none")
    assert application.pip.installed[1] == "also-none"
    with pytest.raises(TypeError):
        slicer.util.pip_install("a", show=True)


def test_before_5_11_there_is_no_slicer_packaging() -> None:
    reason = why_not()
    if reason:
        pytest.skip(reason)
    from slicer_standin import boot

    session = boot("5.10.0")
    try:
        import slicer

        assert (slicer.app.majorVersion, slicer.app.minorVersion) == (5, 10)
        assert not hasattr(slicer, "packaging")
        with pytest.raises(ImportError):
            import slicer.packaging
        slicer.util.pip_install("a")
        assert session.pip.installed == ["a"]
    finally:
        session.close()
    assert "qt" not in sys.modules
    assert not hasattr(slicer, "app")
