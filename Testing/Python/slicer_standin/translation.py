"""slicer.i18n: texts as they are, marked as seen."""

from __future__ import annotations

from .strict import StrictModule


def make_i18n(seen: set[str]) -> StrictModule:
    """The module; every text that is asked for goes into `seen`."""

    def translate(context: str, text: str) -> str:
        if not isinstance(context, str) or not isinstance(text, str):
            raise TypeError("translate wants two texts")
        seen.add(text)
        return text

    def tr(text: str) -> str:
        return translate("", text)

    module = StrictModule("slicer.i18n")
    module.tr = tr
    module.translate = translate
    return module
