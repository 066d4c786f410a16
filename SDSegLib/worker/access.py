"""A server and the right to use it; orders as a server may see them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from ..errors import InputError, ModelError
from ..language import tr
from ..models.registry import InstalledModel, find_model, propagation_model
from ..operations.base import Operation
from ..wire.address import LONGEST_TOKEN, ServerAddress


@dataclass(frozen=True)
class ServerAccess:
    """Where a server is, and the token that it asks for.

    Attributes:
        address: Its address.
        token: A secret; `repr` does not show it.

    Raises:
        InputError: If the token is none that a server can have.
    """

    address: ServerAddress
    token: str = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.token) > LONGEST_TOKEN or not self.token.isprintable():
            raise InputError(
                tr(
                    "The token for the server {place} is none: it has {count} characters, of at "
                    "most {most}, or some that cannot be shown. Copy it again from where "
                    "the server printed it."
                ).format(place=self.address.place, count=len(self.token), most=LONGEST_TOKEN)
            )


def order_for_server(operation: Operation[Any]) -> dict[str, Any]:
    """The entries of a "prepare" message to a server.

    It names the model as both computers know it, with the checksum of its weights here, so that
    the server can tell whether it has the same. Paths stay here.

    Raises:
        ModelError: If the model is a folder that is none.
    """
    parameters = operation.parameters()
    wanted = operation.model_in(parameters)
    model = _model_here(operation.name, wanted)
    if model is None:
        return {"operation": operation.name, "parameters": parameters, "weights": None}
    description = model.description
    return {
        "operation": operation.name,
        "parameters": operation.with_model(parameters, description.name),
        "weights": description.weights_sha256,
    }


def _model_here(operation: str, wanted: str | None) -> InstalledModel | None:
    """The model as it is installed here; None if the server has to find it."""
    try:
        if wanted is not None:
            return find_model(wanted)
        return propagation_model() if operation == "propagate" else None
    except ModelError:
        if wanted is not None and os.path.basename(wanted) != wanted:
            raise  # a path, which stays here
        return None
