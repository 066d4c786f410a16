"""Reads a module's source for names of `qt`, `ctk` and `slicer` that do not exist.

It sees the lines that no test has run: names in the modules, attributes of the widgets of a `.ui`
file (`self._ui.applyButton.…`), and attributes of objects that the file makes itself
(`self.editor = slicer.qMRMLSegmentEditorWidget()`, then `self.editor.…`). What a class of CTK or 3D
Slicer has is in `known_calls.ini`. Needs a running session.
"""

from __future__ import annotations

import ast
import enum
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_ROOTS = ("qt", "ctk", "slicer")
_GIVEN = {
    "slicer.app.moduleManager()": "qSlicerModuleManager",
    "slicer.app.ioManager()": "qSlicerIOManager",
    "slicer.app.coreIOManager()": "qSlicerIOManager",
    "slicer.app.layoutManager()": "qSlicerLayoutManager",
}
"""Classes of the objects that the application gives."""
_FILLED_LATER = ("slicer.modules", "slicer.moduleNames", "slicer.selfTests")


def problems_in(path: Path) -> list[str]:
    """What 3D Slicer would refuse in a Python file, as "file:line: problem"."""
    found = []
    tree = ast.parse(path.read_text(encoding="utf-8"))
    widgets, made = _widgets_beside(path), _made_objects(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            problem = _of_chain(_chain(node)) or _of_widget(node, widgets) or _of_object(node, made)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            problem = _of_import(node)
        elif isinstance(node, ast.Call):
            problem = _of_call(node)
        else:
            continue
        if problem:
            found.append(f"{path.name}:{node.lineno}: {problem}")
    return sorted(set(found))


def _chain(node: ast.expr) -> list[str]:
    """["qt", "Qt", "AlignLeft"]; empty if it does not start with a module that is known."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.insert(0, node.attr)
        node = node.value
    if isinstance(node, ast.Name) and node.id in _ROOTS:
        return [node.id, *names]
    return []


def _of_chain(names: list[str]) -> str:
    if not names:
        return ""
    thing: Any = sys.modules[names[0]]
    for number, name in enumerate(names[1:], start=1):
        text = ".".join(names[: number + 1])
        if ".".join(names[:number]) in _FILLED_LATER or text in _FILLED_LATER:
            return ""
        if isinstance(thing, type) and issubclass(thing, enum.Enum):
            return f"{text}: not every PythonQt has the values in the enumeration; leave it out"
        if not hasattr(thing, name):
            return f"{text} does not exist"
        thing = getattr(thing, name)
        if isinstance(thing, str | int | float) or (
            callable(thing) and not isinstance(thing, type)
        ):
            return ""
    return ""


def _widgets_beside(path: Path) -> dict[str, str]:
    """Classes of the widgets in the `.ui` files of a module, by name."""
    folders = (folder / "Resources" / "UI" for folder in (path.parent, path.parent.parent))
    return {
        item.get("name", ""): item.get("class", "")
        for folder in folders
        for file in folder.glob("*.ui")
        for item in ElementTree.parse(file).iter("widget")
    }


def _of_widget(node: ast.Attribute, widgets: dict[str, str]) -> str:
    """A problem of `….ui.NAME` or `….ui.NAME.attribute`."""
    owner = node.value
    if widgets and _is_ui(owner):
        is_missing = node.attr not in widgets and not node.attr.startswith("__")
        return f"there is no widget '{node.attr}' in the .ui file" if is_missing else ""
    if not isinstance(owner, ast.Attribute) or not _is_ui(owner.value):
        return ""
    return _of_class(widgets.get(owner.attr, ""), node.attr, f"ui.{owner.attr}")


def _is_ui(node: ast.expr) -> bool:
    name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
    return name in ("ui", "_ui")


def _made_objects(tree: ast.AST) -> dict[str, str]:
    """Classes of the objects that a file makes and keeps under one name, by that name."""
    found: dict[str, set[str]] = {}
    for target, value in _assignments(tree):
        names = _chain(value.func) if isinstance(value, ast.Call) else []
        kind = _GIVEN.get(ast.unparse(value), "")
        if len(names) == 2 and _class_of(names[1]) is not None:
            kind = names[1]
        if isinstance(value, ast.Constant) and value.value is None:
            continue  # nothing yet
        found.setdefault(ast.unparse(target), set()).add(kind)
    made = {name: kinds.pop() for name, kinds in found.items() if len(kinds) == 1}
    return {**_GIVEN, **made}


def _assignments(tree: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Tuple):
                    yield from ((item, ast.Constant("unknown")) for item in target.elts)
                else:
                    yield target, node.value
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            yield node.target, node.value
        elif isinstance(node, ast.arg):  # an argument may be anything
            yield ast.Name(node.arg), ast.Constant("unknown")


def _of_object(node: ast.Attribute, made: dict[str, str]) -> str:
    name = ast.unparse(node.value)
    return _of_class(made.get(name, ""), node.attr, name)


def _class_of(name: str) -> type | None:
    classes = sys.modules["qt"].QUiLoader.classes
    known = classes.get(name) or getattr(sys.modules["qt"], name, None) if name else None
    if known is None and name and hasattr(sys.modules["slicer"], name):
        known = getattr(sys.modules["slicer"], name)
    return known if isinstance(known, type) and known.__name__[0] in "qcQ" else None


def _of_class(kind: str, attribute: str, name: str) -> str:
    cls = _class_of(kind)
    if cls is None or hasattr(cls, attribute) or attribute.startswith("__"):
        return ""
    return f"{name} is a {kind}, which has no '{attribute}' in Python"


def _of_import(node: ast.ImportFrom) -> str:
    module = node.module or ""
    if module.partition(".")[0] not in _ROOTS:
        return ""
    if module not in sys.modules:
        return "" if module == "slicer.packaging" else f"the module {module} does not exist"
    missing = [
        alias.name
        for alias in node.names
        if alias.name != "*"
        and not hasattr(sys.modules[module], alias.name)
        and f"{module}.{alias.name}" != "slicer.packaging"
    ]
    return f"{module} has no {', '.join(missing)}" if missing else ""


def _of_call(node: ast.Call) -> str:
    names = _chain(node.func) if isinstance(node.func, ast.Attribute) else []
    if names and names[0] in ("qt", "ctk") and node.keywords:
        keywords = ", ".join(str(keyword.arg) for keyword in node.keywords)
        return f"{'.'.join(names)}({keywords}=…): PythonQt takes no keyword arguments"
    name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    if name in ("connect", "disconnect") and node.args and isinstance(node.args[0], ast.Constant):
        signature = str(node.args[0].value)
        if not signature.endswith(")") or "(" not in signature:
            return f"'{signature}' is no signature of a signal"
    return ""
