"""Adds the effect to all Segment Editors; called once, when the application has started."""

from pathlib import Path

import qSlicerSegmentationsEditorEffectsPythonQt as effects

EFFECT_NAME = "SDSeg Propagate"
SOURCE = Path(__file__).resolve().parent / "SegmentEditorEffect.py"


def registerEffect() -> None:
    """Register the effect, once its package has been imported under its own name."""
    import SDSegPropagateLib  # noqa: F401  or 3D Slicer would load the file in its place

    newEffect().self().register()


def newEffect() -> effects.qSlicerSegmentEditorScriptedEffect:
    """A new instance of the effect, for the registry or for one editor."""
    effect = effects.qSlicerSegmentEditorScriptedEffect(None)
    effect.setPythonSource(SOURCE.as_posix())
    return effect
