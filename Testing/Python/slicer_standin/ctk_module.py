"""The module `ctk`."""

from __future__ import annotations

from . import ctk_collapsible, ctk_inputs
from .strict import StrictModule

CLASSES = (
    ctk_collapsible.ctkCollapsibleButton,
    ctk_collapsible.ctkCollapsibleGroupBox,
    ctk_inputs.ctkCheckableComboBox,
    ctk_inputs.ctkDoubleSpinBox,
    ctk_inputs.ctkMenuButton,
    ctk_inputs.ctkMessageBox,
    ctk_inputs.ctkPathLineEdit,
    ctk_inputs.ctkSliderWidget,
)


def make_ctk() -> StrictModule:
    """The module, with the classes that the stand-in has."""
    module = StrictModule("ctk", "CTK's widgets, drawn like the real ones.")
    for cls in CLASSES:
        setattr(module, cls.__name__, cls)
    return module
