"""slicer.i18n: Qt's translators with the contexts of 3D Slicer; texts marked as seen."""

from __future__ import annotations

import inspect
import logging
import re
from pathlib import Path

from PySide6.QtCore import QCoreApplication

from .strict import StrictModule

_PLACEHOLDER = re.compile(r"(?<!\{)\{([^{}]+)\}(?!\})")


def make_i18n(seen: set[str]) -> StrictModule:
    """The module; every text that is asked for goes into `seen`."""

    def translate(context: str, text: str) -> str:
        if not isinstance(context, str) or not isinstance(text, str):
            raise TypeError("translate wants two texts")
        seen.add(text)
        return QCoreApplication.translate(context, text)

    def tr(text: str) -> str:
        caller = inspect.currentframe().f_back  # type: ignore[union-attr]
        context = context_of(Path(inspect.getsourcefile(caller) or ""))
        translated = translate(context, text)
        if set(_PLACEHOLDER.findall(text)) != set(_PLACEHOLDER.findall(translated)):
            logging.warning("In '%s' the placeholders of '%s' do not match", context, translated)
            return text
        return translated

    module = StrictModule("slicer.i18n")
    module.tr = tr
    module.translate = translate
    return module


def context_of(path: Path) -> str:
    """The name of a Python file, behind that of its package."""
    is_part = (path.parent / "__init__.py").is_file()
    return f"{path.parent.name}.{path.stem}" if is_part else path.stem
