"""Python packages that are missing, broken or too old: the module opens and says what to do."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import sysconfig
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from module_parts import choose_ct, finish, segment, segmentation_nodes, tiny_models, widget
from standin_fixtures import ROOT, application, module_widget, process_until, why_not

from SDSegLib.worker.run import State

pytestmark = pytest.mark.slow

__all__ = ["application", "module_widget", "tiny_models", "widget"]


@pytest.fixture
def without_torch(widget: Any, application: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module as on a fresh 3D Slicer: torch and safetensors seem not to be installed."""
    from SDSegSlicerLib import requirements

    gone = {"torch", "safetensors"}
    is_there = requirements._isThere
    monkeypatch.setattr(requirements, "_isThere", lambda p: p.module not in gone and is_there(p))
    application.pip.missing = {"torch", "safetensors"}
    application.pip.makes = lambda arguments: gone.difference_update(
        str(argument).partition(">=")[0] for argument in arguments
    )
    yield gone
    sys.modules.pop("PyTorchUtils", None)


def test_the_click_shows_what_is_missing_and_installs_on_the_users_word(
    widget: Any, application: Any, without_torch: set[str]
) -> None:
    choose_ct(widget)
    widget.ui.segmentButton.click()
    assert not widget.window.controller.isBusy
    panel, text = widget.ui.dependencyFrame, widget.ui.dependencyText.text
    assert not panel.isHidden()
    for part in ("torch", "2.5 or later", "3 GB", "safetensors", "no image leaves this computer"):
        assert part in text
    assert "SimpleITK" not in text
    assert not application.pip.installed

    widget.ui.notNowButton.click()
    assert panel.isHidden()
    widget.ui.segmentButton.click()
    assert not panel.isHidden()
    widget.ui.installPackagesButton.click()
    assert application.pip.ensured == [["torch>=2.5", "safetensors>=0.4"]]
    assert widget.ui.installPackagesButton.text == "Trying the packages…"
    process_until(lambda: panel.isHidden(), 120)
    # What the user wanted in the first place goes on by itself.
    finish(widget)
    assert widget.window.controller.run.state is State.DONE
    assert len(segmentation_nodes()) == 1


def test_torch_comes_through_the_pytorch_extension_if_it_is_there(
    widget: Any, application: Any, without_torch: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[dict[str, Any]] = []
    monkeypatch.delitem(sys.modules, "torch", raising=False)

    class PyTorchUtilsLogic:
        def installTorch(self, **arguments: Any) -> None:  # noqa: N802
            calls.append(arguments)
            without_torch.discard("torch")
            import torch  # noqa: F401  # as the real one does at its end

    extension = types.ModuleType("PyTorchUtils")
    extension.PyTorchUtilsLogic = PyTorchUtilsLogic  # type: ignore[attr-defined]
    sys.modules["PyTorchUtils"] = extension
    choose_ct(widget)
    widget.ui.segmentButton.click()
    widget.ui.installPackagesButton.click()
    assert calls == [{"askConfirmation": False, "torchVersionRequirement": ">=2.5"}]
    assert "torch" not in sys.modules  # not even once in the application's process
    assert application.pip.ensured == [["safetensors>=0.4"]]
    process_until(lambda: widget.window.controller.isBusy, 120)
    finish(widget)


def test_an_installer_that_breaks_leaves_the_panel_ready(
    widget: Any, application: Any, without_torch: set[str]
) -> None:
    class PyTorchUtilsLogic:
        def installTorch(self, **_: Any) -> None:  # noqa: N802
            raise next(failures)

    failures = iter([ImportError("DLL load failed while importing _C"), KeyError("surprise")])
    extension = types.ModuleType("PyTorchUtils")
    extension.PyTorchUtilsLogic = PyTorchUtilsLogic  # type: ignore[attr-defined]
    sys.modules["PyTorchUtils"] = extension
    choose_ct(widget)
    widget.ui.segmentButton.click()
    for words in ("DLL load failed while importing _C", "The installation stopped"):
        widget.ui.installPackagesButton.click()
        assert words in widget.window.messages.text
        assert widget.ui.installPackagesButton.text == "Install"
        assert widget.ui.installPackagesButton.enabled
        assert widget.ui.notNowButton.enabled
    assert "surprise" in application.errors.pop()


def test_a_folder_of_wheels_stands_for_the_network(
    widget: Any, application: Any, without_torch: set[str], tmp_path: Path
) -> None:
    import qt

    folder = tmp_path / "my wheels"
    folder.mkdir()
    choose_ct(widget)
    widget.ui.segmentButton.click()
    widget.ui.wheelsFolderEdit.setCurrentPath(str(folder))
    application.pip.makes = None  # nothing in it
    widget.ui.installPackagesButton.click()
    assert application.pip.installed == [
        ["--no-index", "--find-links", str(folder), "torch>=2.5", "safetensors>=0.4"]
    ]
    process_until(lambda: bool(widget.window.messages.text), 120)
    assert "still missing or too old: torch, safetensors" in widget.window.messages.text
    assert widget.ui.installPackagesButton.enabled
    assert qt.QSettings().value("SDSeg/WheelsFolder") == str(folder)

    def fail(_: Any) -> None:
        raise subprocess.CalledProcessError(1, "pip install")

    application.pip.makes = fail
    widget.ui.installPackagesButton.click()
    assert "not installed" in widget.window.messages.text
    assert "Behind a proxy" in widget.window.messages.text
    assert widget.ui.installPackagesButton.enabled


def test_before_5_12_pip_install_is_used(
    tiny_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if why_not():
        pytest.skip(why_not())
    from slicer_standin import boot

    session = boot("5.10.0")
    try:
        session.load_module(ROOT / "SDSegSlicer" / "SDSegSlicer.py")
        import slicer

        slicer.util.selectModule("SDSegSlicer")
        from SDSegSlicerLib import requirements

        requirements.install([requirements.PACKAGES[1]])
        assert session.pip.installed == [["safetensors>=0.4"]]
        assert not session.pip.ensured
    finally:
        session.close()
    assert not session.errors


def test_macs_are_told_so(widget: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from SDSegLib.errors import SDSegError

    ct = choose_ct(widget)
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    widget.ui.segmentButton.click()
    assert "Not supported: on macOS" in widget.window.messages.text
    assert widget.ui.dependencyFrame.isHidden()
    with pytest.raises(SDSegError, match="Not supported"):
        widget.logic.process(ct, model="tiny")


def test_a_broken_torch_is_reported_and_mended_torch_works(
    widget: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken"
    (broken / "torch").mkdir(parents=True)
    (broken / "torch" / "__init__.py").write_text(
        'raise ImportError("libcudart.so.12: cannot open shared object file")', encoding="utf-8"
    )
    monkeypatch.setenv("PYTHONPATH", str(broken))
    choose_ct(widget)
    assert not widget.window.messages.text  # the worker that gets ready meanwhile fails in silence
    run = segment(widget)
    assert run.state is State.FAILED
    text = widget.window.messages.text
    assert "PyTorch" in text
    assert "libcudart.so.12" in text
    assert "extension PyTorch" in text
    assert widget.ui.segmentButton.enabled
    monkeypatch.delenv("PYTHONPATH")
    widget.ui.stopWorkerButton.click()
    assert segment(widget).state is State.DONE


ABSENT = """
import sys
sys.path[:0] = [{root!r}, {tests!r}]
import standin_fixtures
from slicer_standin import boot
session = boot()
session.load_module({root!r} + "/SDSegSlicer/SDSegSlicer.py")
import slicer
from module_parts import choose_ct
slicer.util.selectModule("SDSegSlicer")
widget = slicer.util.getModuleWidget("SDSegSlicer")
ct = choose_ct(widget)
widget.ui.segmentButton.click()
print(widget.ui.dependencyText.text)
print(widget.ui.segmentButton.text)
from SDSegLib.errors import SDSegError
try:
    widget.logic.process(ct)
except SDSegError as error:
    print(error)
session.close()
"""


def test_the_self_test_fails_where_nothing_can_be_segmented(
    widget: Any, without_torch: set[str]
) -> None:
    import slicer

    with pytest.raises(RuntimeError, match="torch, safetensors are not installed"):
        slicer.selfTests["SDSegSlicer"]()


def test_without_torch_on_the_computer_the_module_opens_and_says_what_to_do(
    application: Any, tmp_path: Path, tiny_models: Path
) -> None:
    """A Python whose packages are all there but for torch: links to the others."""
    packages = tmp_path / "packages"
    packages.mkdir()
    for entry in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if not entry.name.lower().startswith(("torch", "functorch", "__editable", "sdseg")):
            (packages / entry.name).symlink_to(entry)
    script = ABSENT.format(root=str(ROOT), tests=str(Path(__file__).parent))
    result = subprocess.run(
        [sys.executable, "-S", "-c", script],
        env={**os.environ, "PYTHONPATH": str(packages)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr, result.stderr
    assert "<b>torch</b> 2.5 or later" in result.stdout
    assert "safetensors" not in result.stdout
    assert "Packages are missing: torch. Open the module SDSeg and click Segment" in result.stdout


def test_segment_waits_and_says_why_while_packages_are_installed_and_tried(
    widget: Any, application: Any, without_torch: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ui, seen = widget.ui, []
    makes = application.pip.makes

    def install(arguments: Any) -> None:
        seen.append((ui.segmentButton.enabled, ui.statusLabel.text))
        makes(arguments)

    application.pip.makes = install
    choose_ct(widget)
    ui.segmentButton.click()
    assert ui.segmentButton.enabled
    ui.installPackagesButton.click()
    assert seen == [(False, "Packages are being installed; that can take minutes.")]
    assert not ui.segmentButton.enabled
    assert ui.statusLabel.text == "The packages are being tried; that takes some seconds."
    assert ui.segmentButton.toolTip == ui.statusLabel.text
    process_until(lambda: widget.window.controller.isBusy, 120)
    finish(widget)
    assert ui.segmentButton.enabled
