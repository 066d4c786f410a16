"""Writes down how the editor calls it."""

from pathlib import Path
from typing import Any

import slicer
from SegmentEditorEffects import AbstractScriptedSegmentEditorEffect

SOURCE = Path(__file__).resolve()
CALLS: list[Any] = []


def newEffect() -> Any:
    """An instance for the registry or for an editor."""
    effect = slicer.qSlicerSegmentEditorScriptedEffect(None)
    effect.setPythonSource(SOURCE.as_posix())
    return effect


class NotedEffect(AbstractScriptedSegmentEditorEffect):
    """Has a parameter, and no options."""

    def __init__(self, scriptedEffect: Any) -> None:
        scriptedEffect.name = "Noted"
        AbstractScriptedSegmentEditorEffect.__init__(self, scriptedEffect)

    def clone(self) -> Any:
        return newEffect()

    def setMRMLDefaults(self) -> None:
        self.scriptedEffect.setParameterDefault("Size", 3)

    def activate(self) -> None:
        CALLS.append("activate")

    def deactivate(self) -> None:
        node = self.scriptedEffect.parameterSetNode()
        CALLS.append(f"deactivate for '{node.GetActiveEffectName()}'")

    def updateGUIFromMRML(self) -> None:
        CALLS.append(self.scriptedEffect.integerParameter("Size"))
