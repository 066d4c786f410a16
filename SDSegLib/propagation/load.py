"""Load a model that carries masks."""

from __future__ import annotations

from ..errors import ModelError
from ..families.propagate import PropagateFamily
from ..inference.device import choose_device
from ..language import tr
from ..models.folder import load_networks
from ..models.registry import InstalledModel
from .carry import Propagator


def load_propagator(model: InstalledModel, device: str = "auto") -> Propagator:
    """Load a verified model onto a device.

    Args:
        model: From `models.registry.propagation_model`.
        device: "auto", "cuda", "mps" or "cpu".

    Raises:
        ModelError: If the model is damaged or of another family.
        InputError: If the device is unknown or does not work.
    """
    family = load_networks(model.folder)
    if not isinstance(family, PropagateFamily):
        raise ModelError(
            tr("The model {model} is of the family {family}, which carries no masks.").format(
                model=model.description.name, family=model.description.family
            )
        )
    return Propagator(family, choose_device(device))
