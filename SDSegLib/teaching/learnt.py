"""Which cases a model learnt from before: they are no test of it, nor of what is taught from it.

Bundled models list digests of the images that they were trained on, which are public. For the
user's own models a file in the model folder has keyed hashes of the images; it stays on this
computer when a model is given on.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Any

from ..errors import OutputError
from ..export.atomic import atomic_write
from ..families.description import ModelDescription
from ..language import tr
from ..locked import locked
from ..models.registry import installed_models, user_folder
from ..untrusted import read_json
from .cases import TeachCases
from .start import lineage_of

log = logging.getLogger(__name__)

RECORD = ".learnt.json"
_FORMAT = 1


def learnt_before(description: ModelDescription, cases: TeachCases) -> frozenset[str]:
    """Names of the cases whose patients a model, or one that it was taught from, learnt from.

    Also of those that are only for measuring, if it learnt from their CT.
    """
    lineage = set(lineage_of(description))
    public = {
        str(digest)
        for model in installed_models()[0]
        if model.description.weights_sha256 in lineage
        for digest in _listed(model.description)
    }
    public |= set(_listed(description))
    record = Record.read()
    images = {case: facts.image for case, facts in cases.facts.items()}
    known = {
        case
        for case, image in (images | dict(cases.kept_images)).items()
        if image and (image in public or record.has(lineage, image))
    }
    patients = {cases.patients[case] for case in known & images.keys()}
    same = {case for case, patient in cases.patients.items() if patient in patients}
    return frozenset(known | same)


def remember(weights: str, images: Iterable[str]) -> None:
    """Keep that a model learnt from images; where that cannot be written, it is only logged.

    Args:
        weights: SHA-256 of its weights.
        images: Digests of its images.
    """
    try:
        with locked(_made_path()):
            Record.read().with_model(weights, images).write()
    except OutputError as error:
        log.warning("which cases the model learnt from could not be kept: %s", error)


@dataclass(frozen=True)
class Record:
    """The file in the user's model folder.

    Attributes:
        salt: Random, hexadecimal; it goes into all keys.
        models: Keys of images by the SHA-256 of the weights that learnt from them.
    """

    salt: str
    models: dict[str, frozenset[str]] = field(default_factory=dict)

    @classmethod
    def read(cls) -> Record:
        """The record; an empty one if there is none or it cannot be used."""
        path = _path()
        try:
            return cls._of(read_json(path)) if path.is_file() else cls(token_hex(16))
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            log.warning("%s cannot be used and is begun anew: %s", path, error)
            return cls(token_hex(16))

    @classmethod
    def _of(cls, data: Any) -> Record:
        bytes.fromhex(data["salt"])
        models = {str(key): frozenset(map(str, value)) for key, value in data["models"].items()}
        return cls(data["salt"], models)

    def has(self, lineage: Iterable[str], image: str) -> bool:
        """Whether one of some models learnt from an image."""
        key = self._key(image)
        return any(key in self.models.get(weights, ()) for weights in lineage)

    def with_model(self, weights: str, images: Iterable[str]) -> Record:
        """With one more model."""
        keys = frozenset(self._key(image) for image in images)
        return Record(self.salt, {**self.models, weights: keys})

    def write(self) -> None:
        """Replace the file.

        Raises:
            OutputError: If it cannot be written.
        """
        data = {
            "format": _FORMAT,
            "salt": self.salt,
            "models": {key: sorted(value) for key, value in self.models.items()},
        }
        with atomic_write(_made_path(), overwrite=True) as temporary:
            temporary.chmod(0o600)
            temporary.write_text(json.dumps(data), encoding="utf-8")

    def _key(self, image: str) -> str:
        return hashlib.sha256(f"{self.salt}/{image}".encode()).hexdigest()[:24]


def _listed(description: ModelDescription) -> list[str]:
    images = description.training.get("images", ())
    return list(images) if isinstance(images, list | tuple) else []


def _path() -> Path:
    return user_folder() / RECORD


def _made_path() -> Path:
    """The path, in a folder that is there.

    Raises:
        OutputError: If the folder cannot be made.
    """
    path = _path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            tr("{path} cannot be made ({reason}).").format(path=path.parent, reason=error.strerror)
        ) from error
    return path
