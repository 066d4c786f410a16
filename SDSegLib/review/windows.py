"""Windows in which radiologists look at a CT, for all user interfaces."""

from __future__ import annotations

from ..language import tr

# Width and level in HU.
WINDOWS: dict[str, tuple[float, float]] = {
    "Soft tissue": (400, 40),
    "Brain": (80, 40),
    "Bone": (2000, 500),
    "Lung": (1500, -600),
    "Wide": (3000, 500),
}
DEFAULT_WINDOW = "Soft tissue"
WINDOW_LABELS = {
    "Soft tissue": tr("Soft tissue"),
    "Brain": tr("Brain"),
    "Bone": tr("Bone"),
    "Lung": tr("Lung"),
    "Wide": tr("Wide"),
}
