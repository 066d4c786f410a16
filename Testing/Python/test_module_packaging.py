"""The extension's package: what CMake installs is all there is, and the module runs from there."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from standin_fixtures import ROOT, application, why_not

from SDSegLib.models.folder import sha256_of

__all__ = ["application"]

PLACE = "Größe installed"
FOLDER = "lib/Slicer-5.12/qt-scripted-modules"

# Just enough of 3D Slicer's build system; the copying is that of its ctkMacroCompilePythonScript.
SLICER_CONFIG = f"""
set(Slicer_USE_FILE ${{CMAKE_CURRENT_LIST_DIR}}/Nothing.cmake)
set(Slicer_EXTENSION_GENERATE_CONFIG ${{CMAKE_CURRENT_LIST_DIR}}/GenerateConfig.cmake)
set(Slicer_EXTENSION_CPACK ${{CMAKE_CURRENT_LIST_DIR}}/Nothing.cmake)
set(Slicer_QTSCRIPTEDMODULES_LIB_DIR {FOLDER})
set(Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR {FOLDER})
macro(ctkMacroCompilePythonScript)
  cmake_parse_arguments(MY "NO_INSTALL_SUBDIR;GLOBAL_TARGET"
    "TARGET_NAME;SOURCE_DIR;DESTINATION_DIR;INSTALL_DIR" "SCRIPTS;RESOURCES" ${{ARGN}})
  if(MY_UNPARSED_ARGUMENTS OR NOT MY_NO_INSTALL_SUBDIR)
    message(FATAL_ERROR "unexpected: ${{MY_UNPARSED_ARGUMENTS}}")
  endif()
  if(NOT DEFINED MY_SOURCE_DIR)
    set(MY_SOURCE_DIR ${{CMAKE_CURRENT_SOURCE_DIR}})
  endif()
  foreach(file IN LISTS MY_SCRIPTS MY_RESOURCES)
    if(NOT EXISTS ${{MY_SOURCE_DIR}}/${{file}})
      message(FATAL_ERROR "${{file}} does not exist")
    endif()
    get_filename_component(folder ${{file}} DIRECTORY)
    file(COPY ${{MY_SOURCE_DIR}}/${{file}} DESTINATION ${{MY_DESTINATION_DIR}}/${{folder}})
  endforeach()
  install(DIRECTORY ${{MY_DESTINATION_DIR}}/ DESTINATION ${{MY_INSTALL_DIR}})
endmacro()
macro(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(MODULE "WITH_GENERIC_TESTS" "NAME" "SCRIPTS;RESOURCES" ${{ARGN}})
  if(MODULE_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "unexpected: ${{MODULE_UNPARSED_ARGUMENTS}}")
  endif()
  ctkMacroCompilePythonScript(TARGET_NAME ${{MODULE_NAME}}
    SCRIPTS ${{MODULE_SCRIPTS}} RESOURCES ${{MODULE_RESOURCES}}
    DESTINATION_DIR ${{CMAKE_BINARY_DIR}}/${{Slicer_QTSCRIPTEDMODULES_LIB_DIR}}
    INSTALL_DIR ${{Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR}} NO_INSTALL_SUBDIR)
endmacro()
macro(slicer_add_python_unittest)
  message(STATUS "unit test: ${{ARGN}}")
endmacro()
"""
GENERATE_CONFIG = """
foreach(name PROJECT_NAME EXTENSION_HOMEPAGE EXTENSION_CATEGORY EXTENSION_CONTRIBUTORS
    EXTENSION_DESCRIPTION EXTENSION_ICONURL EXTENSION_SCREENSHOTURLS EXTENSION_DEPENDS)
  file(APPEND ${CMAKE_BINARY_DIR}/extension.txt "${name}=${${name}}\\n")
endforeach()
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The extension, configured and installed with a stand-in for 3D Slicer's build system."""
    cmake = shutil.which("cmake")
    if cmake is None or not (shutil.which("ninja") or shutil.which("make")):
        pytest.skip("CMake and a build tool are needed")
    folder = tmp_path_factory.mktemp("build")
    package = folder / "slicer"
    package.mkdir()
    (package / "SlicerConfig.cmake").write_text(SLICER_CONFIG, encoding="utf-8")
    (package / "GenerateConfig.cmake").write_text(GENERATE_CONFIG, encoding="utf-8")
    (package / "Nothing.cmake").write_text("", encoding="utf-8")
    build = folder / "build"
    for command in (
        ["-S", str(ROOT), "-B", str(build), f"-DSlicer_DIR={package}", "-DBUILD_TESTING=ON"],
        ["--install", str(build), "--prefix", str(folder / PLACE)],
    ):
        result = subprocess.run([cmake, *command], capture_output=True, text=True, check=False)
        if "CMAKE_C_COMPILER not set" in result.stderr:
            pytest.skip("CMake finds no compiler, which its project() asks for")
        assert result.returncode == 0, result.stderr
    return folder


def files_below(folder: Path, *patterns: str) -> set[str]:
    found = [path for pattern in patterns for path in folder.glob(pattern) if path.is_file()]
    return {
        path.relative_to(folder).as_posix()
        for path in found
        if "__pycache__" not in path.parts and not path.name.startswith(".")
    }


def test_an_installed_package_holds_every_file(built: Path) -> None:
    module = files_below(
        ROOT / "SDSegSlicer",
        "SDSegSlicer.py",
        "SDSegSlicerLib/*",
        "SDSegPropagateLib/*",
        "Resources/**/*",
    )
    module -= files_below(ROOT / "SDSegSlicer", "Resources/Translations/*")  # for translators
    library = files_below(ROOT, "SDSegLib/**/*", "Resources/**/*")
    library -= files_below(ROOT, "SDSegLib/web/**/*")  # the page for those without 3D Slicer
    assert {"SDSegSlicer.py", "Resources/UI/SDSegSlicer.ui"} <= module
    assert {"SDSegLib/__init__.py", "Resources/Models/head-neck-oar/model.safetensors"} <= library
    installed = files_below(built / PLACE / FOLDER, "**/*")
    assert installed == module | library


@pytest.mark.slow
def test_the_installed_module_segments(built: Path, tmp_path: Path) -> None:
    """Its own self test, from the installed files alone."""
    if why_not():
        pytest.skip(why_not())
    script = f"""
import sys
sys.path[:0] = [{str(Path(__file__).parent)!r}]
sys.path[:] = [item for item in sys.path if item not in ({str(ROOT)!r}, "")]
sys.path.insert(0, {str(built / PLACE / FOLDER)!r})
import SDSegLib
import standin_fixtures
from slicer_standin import boot
session = boot()
session.load_module({str(built / PLACE / FOLDER / "SDSegSlicer.py")!r})
import slicer
slicer.selfTests["SDSegSlicer"]()
from SDSegLib.models.registry import list_models
print(SDSegLib.__file__)
print([str(model.folder) for model in list_models()[0]])
slicer.app.startupCompleted.emit()
print(session.sample_data)
errors = session.errors + session.qt_warnings
session.close()
assert not errors, errors
"""
    result = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    place, models, samples = result.stdout.splitlines()[-3:]
    installed = str(built / PLACE / FOLDER)
    assert place.startswith(installed)
    assert f"{installed}/Resources/Models/head-neck-oar" in models
    sample = Path(installed) / "Resources" / "Samples" / "head-neck-ct.nii.gz"
    assert sample.as_uri() in samples
    assert "SHA256:" in samples


def test_the_catalogue_knows_the_extension(built: Path) -> None:
    lines = (built / "build" / "extension.txt").read_text(encoding="utf-8").splitlines()
    about = dict(line.split("=", 1) for line in lines)
    entry = json.loads((ROOT / "SDSeg.json").read_text(encoding="utf-8"))
    assert about["PROJECT_NAME"] == "SDSeg"
    assert about["EXTENSION_CATEGORY"] == entry["category"] == "Segmentation"
    assert about["EXTENSION_DEPENDS"].split() == entry["build_dependencies"]
    # What the schema of catalogue entries, version 1.0.1, allows.
    allowed = {"$schema", "category", "scm_url", "scm_revision", "scm_type", "build_dependencies"}
    assert set(entry) <= allowed | {"build_subdirectory", "enabled", "tier"}
    assert entry["tier"] in (1, 3, 5)
    assert entry["scm_type"] == "git"
    assert entry["scm_url"] == f"{about['EXTENSION_HOMEPAGE']}.git"
    assert re.match(r"https://", about["EXTENSION_HOMEPAGE"])
    assert about["EXTENSION_CONTRIBUTORS"]
    assert 50 < len(about["EXTENSION_DESCRIPTION"]) < 400
    assert about["EXTENSION_DESCRIPTION"].count(". ") <= 1, "one or two sentences"
    assert (ROOT / "LICENSE.txt").is_file()
    for key in ("EXTENSION_ICONURL", "EXTENSION_SCREENSHOTURLS"):
        for url in about[key].split():
            assert url.startswith("https://raw.githubusercontent.com/"), (
                "the raw file, not its page"
            )
            assert (ROOT / url.partition("/main/")[2]).is_file()
    assert all(about.values())


@pytest.mark.parametrize(
    "path", ["Packaging/SDSeg.png", "SDSegSlicer/Resources/Icons/SDSegSlicer.png"]
)
def test_icons_are_128_pixels_square(path: str) -> None:
    head = (ROOT / path).read_bytes()[:24]
    assert struct.unpack(">II", head[16:24]) == (128, 128)


def uses_of_slicer() -> set[str]:
    """Dotted names of slicer, qt, ctk and vtk in the module's sources, signals and node calls."""
    found = set()
    for path in (ROOT / "SDSegSlicer").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                if node.module.split(".")[0] in ("slicer", "qt", "ctk"):
                    found |= {f"{node.module}.{item.name}" for item in node.names}
            elif isinstance(node, ast.Attribute):
                found |= dotted(node)
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                first = node.args[0] if node.args else None
                if node.func.attr in ("connect", "disconnect") and isinstance(first, ast.Constant):
                    found.add(str(first.value))
                elif node.func.attr[0].isupper():
                    found.add(node.func.attr)
    return {name for name in found if not any(other.startswith(f"{name}.") for other in found)}


def dotted(node: ast.Attribute) -> set[str]:
    names: list[str] = []
    item: ast.expr = node
    while isinstance(item, ast.Attribute):
        names.insert(0, item.attr)
        item = item.value
    if isinstance(item, ast.Name) and item.id in ("slicer", "qt", "ctk", "vtk"):
        return {".".join([item.id, *names])}
    return set()


def test_the_list_of_calls_is_complete() -> None:
    page = (ROOT / "docs" / "reference" / "slicer-calls.md").read_text(encoding="utf-8")
    page = page.replace("`…", "`slicer.ScriptedLoadableModule.ScriptedLoadableModule")
    own = {"Background", "Package", "Path", "TemporaryDirectory", "Thread"}
    missing = {name for name in uses_of_slicer() - own if name not in page}
    assert not missing


def test_no_name_is_used_that_slicer_has_not(application: Any) -> None:
    from slicer_standin.static_check import problems_in

    for path in sorted((ROOT / "SDSegSlicer").rglob("*.py")):
        assert problems_in(path) == []


def test_the_sample_is_the_file_whose_checksum_is_registered() -> None:
    module = ROOT / "SDSegSlicer" / "SDSegSlicerLib" / "sampleData.py"
    sample = ROOT / "Resources" / "Samples" / "head-neck-ct.nii.gz"
    assert sha256_of(sample) in module.read_text(encoding="utf-8")


SHARED = ("inference", "models", "families", "operations", "mrml", "volume", "worker",
          "propagation", "review", "networks", "diffusion")  # fmt: skip


def test_errors_of_the_library_advise_no_command_line() -> None:
    """What the module, the page and scripts show; the command line adds its commands by itself."""
    found = []
    for path in [path for name in SHARED for path in (ROOT / "SDSegLib" / name).rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Raise) or node.exc is None:
                continue
            parts = [item.value for item in ast.walk(node.exc) if isinstance(item, ast.Constant)]
            text = "".join(part for part in parts if isinstance(part, str))
            if re.search(r"--[a-z]|\bsdseg [a-z]", text) and "--overwrite" not in text:
                found.append(f"{path.name}:{node.lineno}: {text}")
    assert not found
