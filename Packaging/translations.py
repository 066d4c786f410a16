"""Writes the source of the module's translations, as the translation tools of 3D Slicer expect it.

Contexts are those of `slicer.i18n`: the name of a Python file, behind the name of its package; the
class of a `.ui` file. Needs lupdate of Qt 6.3 or later, which comes with PySide6.

    python Packaging/translations.py write     # SDSegSlicer/Resources/Translations/SDSeg_en-US.ts
    python Packaging/translations.py check     # what differs; exit code 1 if something does
"""

from __future__ import annotations

import argparse
import ast
import os
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[1]
MODULE = ROOT / "SDSegSlicer"
SOURCE = MODULE / "Resources" / "Translations" / "SDSeg_en-US.ts"
Texts = dict[str, set[str]]


def main() -> int:
    """Exit code of the command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("action", choices=("write", "check"))
    action = parser.parse_args().action
    with tempfile.TemporaryDirectory() as folder:
        made = extract(Path(folder))
        if action == "write":
            SOURCE.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(made, SOURCE)
            return 0
        faults = differences(made)
    for fault in faults:
        sys.stderr.write(f"{fault}\n")
    return 1 if faults else 0


def differences(made: Path) -> list[str]:
    """What the kept file has not of a file that was made now, and the other way round."""
    now, kept = texts_of(made), texts_of(SOURCE) if SOURCE.is_file() else {}
    found = []
    for context in sorted({*now, *kept}):
        here, there = now.get(context, set()), kept.get(context, set())
        found += [f"{context}: {text!r} is new" for text in sorted(here - there)]
        found += [f"{context}: {text!r} is gone" for text in sorted(there - here)]
    return [*found, "Run: python Packaging/translations.py write"] if found else []


def extract(folder: Path) -> Path:
    """Make the file in an empty folder.

    Raises:
        RuntimeError: If lupdate fails, or misses a text.
    """
    names = []
    for path in sorted(MODULE.rglob("*")):
        if path.suffix not in (".py", ".ui"):
            continue
        copy = folder / path.relative_to(MODULE)
        copy.parent.mkdir(parents=True, exist_ok=True)
        is_code = path.suffix == ".py"
        copy.write_bytes(with_contexts(path) if is_code else path.read_bytes())
        names.append(str(copy.relative_to(folder)))
    (folder / "files.txt").write_text("\n".join(names), encoding="utf-8")
    made = folder / SOURCE.name
    command = [
        linguist("lupdate"),
        "@files.txt",
        "-locations",
        "none",
        "-no-ui-lines",
        "-ts",
        made.name,
    ]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if run.returncode or not made.is_file():
        raise RuntimeError(f"lupdate failed: {run.stdout}{run.stderr}")
    found, missed = texts_of(made), []
    for path in sorted(MODULE.rglob("*.py")):
        for context, text in marked_texts(path):
            if text not in found.get(context, set()):
                missed.append(f"{path.name}: {text!r}")
    if missed:
        raise RuntimeError("lupdate has missed texts:\n" + "\n".join(missed))
    return made


def linguist(name: str) -> str:
    """A program of Qt Linguist: "lupdate" or "lrelease".

    Raises:
        RuntimeError: If there is none.
    """
    package = find_spec("PySide6")
    folders = [] if package is None else list(package.submodule_search_locations or ())
    found = shutil.which(name, path=os.pathsep.join(folders)) or shutil.which(name)
    if found is None:
        raise RuntimeError(f"{name} is missing; it comes with: pip install PySide6-Essentials")
    return found


def context_of(path: Path) -> str:
    """The context of a Python file's texts, as `slicer.i18n` computes it."""
    is_part = (path.parent / "__init__.py").is_file()
    return f"{path.parent.name}.{path.stem}" if is_part else path.stem


def marked_texts(path: Path) -> Iterator[tuple[str, str]]:
    """Context and text of every literal that goes through `_` or `translate` in a Python file."""
    for call in _calls(path.read_bytes()):
        values = [item.value for item in call.args if isinstance(item, ast.Constant)]
        if call.func.id == "_" and len(values) == 1:  # type: ignore[attr-defined]
            yield context_of(path), values[0]
        elif len(values) == 2:
            yield values[0], values[1]


def with_contexts(path: Path) -> bytes:
    """A Python file in which `_(text)` is `translate(context, text)`, which lupdate knows."""
    lines = path.read_bytes().splitlines(keepends=True)
    calls = [call for call in _calls(path.read_bytes()) if call.func.id == "_"]  # type: ignore[attr-defined]
    for call in sorted(calls, key=lambda one: (one.lineno, one.col_offset), reverse=True):
        line, start = lines[call.lineno - 1], call.col_offset
        assert line[start : start + 2] == b"_(", f"{path}:{call.lineno}"
        changed = f'translate("{context_of(path)}", '.encode()
        lines[call.lineno - 1] = line[:start] + changed + line[start + 2 :]
    return b"".join(lines)


def _calls(source: bytes) -> list[ast.Call]:
    return [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("_", "translate")
    ]


def texts_of(path: Path) -> Texts:
    """Texts by context in a `.ts` file."""
    return {
        context.findtext("name") or "": {
            message.findtext("source") or "" for message in context.iter("message")
        }
        for context in ElementTree.parse(path).getroot().iter("context")
    }


if __name__ == "__main__":
    sys.exit(main())
