"""The presets there are, by name."""

from __future__ import annotations

from ..errors import InputError
from .preset import AnyPreset
from .preset_compact import COMPACT
from .preset_paper import PAPER, PAPER_TINY
from .preset_unet2d import UNET2D

PRESETS: dict[str, AnyPreset] = {
    preset.name: preset for preset in (PAPER, PAPER_TINY, COMPACT, UNET2D)
}


def find_preset(name: str) -> AnyPreset:
    """The preset of this name.

    Raises:
        InputError: Naming those there are.
    """
    if name not in PRESETS:
        raise InputError(f"There is no preset {name!r}; choose one of {', '.join(PRESETS)}.")
    return PRESETS[name]
