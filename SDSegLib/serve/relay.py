"""Requests of clients, checked before they are given to a computing process."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import InputError, ModelError, SDSegError
from ..language import tr
from ..models.registry import installed_models
from ..operations.base import OPERATIONS, ArraySpec, Operation, operation_class
from ..processes.messages import Message
from ..volume.as_json import geometry_from_json
from ..volume.volume import Volume
from ..wire.frames import FrameError

_WRONG_VALUES = (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError)
_MODALITY_CHARACTERS = 16
NAME = tr("the image")
"""Of every volume; its own one stays with the client."""

Arrays = dict[str, np.ndarray]


class RelayedOperation(Operation[tuple[dict[str, Any], Arrays]]):
    """An operation for another computer: its parameters go on as they are, its result comes back
    as values and arrays.

    Args:
        name: One of `OPERATIONS`.
        parameters: As the client sent them.
        arrays: As the client sent them.

    Raises:
        InputError: If a value is not allowed.
    """

    def __init__(self, name: str, parameters: dict[str, Any], arrays: Arrays) -> None:
        self._parameters = parameters
        self._arrays = arrays
        try:
            self._original = operation_class(name).received(parameters, arrays)
            self._original.check()
        except _WRONG_VALUES as error:
            raise _not_understood(name, error) from None
        self.name = name  # type: ignore[misc]
        self.verb = self._original.verb  # type: ignore[misc]

    def parameters(self) -> dict[str, Any]:
        return self._parameters

    def arrays(self) -> Arrays:
        return self._arrays

    def returns(self, volume: Volume) -> dict[str, ArraySpec]:
        return self._original.returns(volume)

    def result(
        self, volume: Volume, values: dict[str, Any], arrays: Arrays
    ) -> tuple[dict[str, Any], Arrays]:
        return values, arrays

    @classmethod
    def received(cls, parameters: dict[str, Any], arrays: Arrays) -> RelayedOperation:
        raise NotImplementedError("relayed operations are made from messages")

    @classmethod
    def prepare(cls, parameters: dict[str, Any], models: Any) -> Any:
        raise NotImplementedError("relayed operations run in another process")

    def run(self, *_: Any) -> Any:
        raise NotImplementedError("relayed operations run in another process")


def checked_order(message: Message) -> tuple[str, dict[str, Any]]:
    """Name and parameters of the operation that a message asks for; its model is there.

    Raises:
        FrameError: If the message is not one of a client's.
        SDSegError: If there is no such operation, or not the model that the client means.
    """
    name, parameters = message.get("operation"), message.get("parameters")
    if not isinstance(name, str) or not isinstance(parameters, dict):
        raise FrameError("A request names no operation.")
    if name not in OPERATIONS:
        raise InputError(tr("it does not know the operation; install the same SDSeg on both."))
    try:
        model = operation_class(name).model_in(parameters)
    except _WRONG_VALUES as error:
        raise _not_understood(name, error) from None
    _check_model(model, message.get("weights"))
    return name, parameters


def volume_of(message: Message, arrays: Mapping[str, np.ndarray]) -> Volume:
    """The volume that a "volume" message describes.

    Raises:
        InputError: If its geometry does not describe the voxels.
    """
    described, array = message.get("volume"), arrays.get("volume")
    if not isinstance(described, dict) or array is None:
        raise FrameError("A volume has no voxels or no geometry.")
    modality = described.get("modality")
    if modality is not None and not (
        isinstance(modality, str) and len(modality) <= _MODALITY_CHARACTERS
    ):
        raise FrameError("A volume has a modality that none can have.")
    try:
        geometry = geometry_from_json(described)
        if geometry.direction.shape != (3, 3) or geometry.shape != array.shape:
            raise FrameError("A volume's geometry is not that of its voxels.")
        if not all(isinstance(value, float | int) for value in geometry.spacing + geometry.origin):
            raise FrameError("A volume's geometry holds values that are no numbers.")
    except _WRONG_VALUES as error:
        raise _not_understood("volume", error) from None
    return Volume(array, geometry, name=NAME, modality=modality)


def bytes_returned(operation: Operation[Any], volume: Volume) -> int:
    """Bytes of the arrays that an operation fills."""
    return sum(
        math.prod(spec.shape) * np.dtype(spec.dtype).itemsize
        for spec in operation.returns(volume).values()
    )


def _check_model(name: object, weights: object) -> None:
    """Only models that are installed here can be used, by their names and never by a path.

    Raises:
        SDSegError: If there is none of that name, or it has other weights than the client's.
    """
    if name is None:
        return
    installed = installed_models()[0]
    found = [model for model in installed if model.description.name == name]
    if not found:
        known = ", ".join(model.description.name for model in installed) or tr("none")
        raise ModelError(
            tr(
                "the model {name!r} is not installed here; there are: {known}. Its "
                "administrator can install it with sdseg models install."
            ).format(name=str(name)[:80], known=known)
        )
    here = found[0].description
    if weights is not None and weights != here.weights_sha256:
        raise ModelError(
            tr(
                "the model {here!r} has other weights here (version {version}) than on your "
                "computer; install the same one on both."
            ).format(here=here.name, version=here.version)
        )


def _not_understood(what: str, error: Exception) -> SDSegError:
    """The text of the error is left out: it may quote what the client sent."""
    return InputError(
        tr("a request ({what}) has values that it cannot have ({error}).").format(
            what=what, error=type(error).__name__
        )
    )
