"""Reads a module's source for names of `qt`, `ctk` and `slicer` that do not exist.

It sees the lines that no test has run. Needs a running session.
"""

from __future__ import annotations

import ast
import enum
import sys
from pathlib import Path
from typing import Any

_ROOTS = ("qt", "ctk", "slicer")
_FILLED_LATER = ("slicer.modules", "slicer.moduleNames", "slicer.selfTests")


def problems_in(path: Path) -> list[str]:
    """What 3D Slicer would refuse in a Python file, as "file:line: problem"."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            problem = _of_chain(_chain(node))
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
