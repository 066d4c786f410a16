"""Adds the effect to all Segment Editors."""

from pathlib import Path

import qSlicerSegmentationsEditorEffectsPythonQt as effects
import slicer

EFFECT_NAME = "SDSeg Propagate"
MODULE_EDITOR_TAG = "SDSegEditor"
"""Singleton tag of the settings of the module SDSeg's own Segment Editor."""
SOURCE = Path(__file__).resolve().parent / "SegmentEditorEffect.py"
_applications: list[object] = []  # in which it is registered


def registerEffect() -> None:
    """Register the effect, unless it is registered already."""
    import SDSegPropagateLib  # noqa: F401  or 3D Slicer would load the file in its place

    if slicer.modules not in _applications:
        _applications[:] = [slicer.modules]
        newEffect().self().register()


def newEffect() -> effects.qSlicerSegmentEditorScriptedEffect:
    """A new instance of the effect, for the registry or for one editor."""
    effect = effects.qSlicerSegmentEditorScriptedEffect(None)
    effect.setPythonSource(SOURCE.as_posix())
    return effect
