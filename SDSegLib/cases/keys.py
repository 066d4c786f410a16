"""Keys that tell patients and CT apart and do not say who or what they are."""

from __future__ import annotations

import hmac
import json
from hashlib import sha256

import numpy as np

from ..volume.checks import AIR_HU
from ..volume.orientation import reorientation_to
from ..volume.volume import Volume

_DIGITS = 16
_HIGHEST_HU = 3071


def patient_key(salt: str, identity: str) -> str:
    """Key of a PatientID, or of what the user calls the patient."""
    return _key(salt, b"patient", identity.strip().encode("utf-8", errors="surrogatepass"))


def image_key(salt: str, volume: Volume) -> str:
    """Key of a CT's voxels, the same for every order and direction of the axes in its file.

    Values below −1024 HU, by which scanners fill what they do not see, count as −1024.
    """
    values = reorientation_to(volume.geometry, "LPS").apply(volume.array)
    digest = hmac.new(bytes.fromhex(salt), b"image", sha256)
    digest.update(repr((values.shape, values.dtype.name)).encode())
    for plane in values:
        digest.update(np.ascontiguousarray(np.maximum(plane, AIR_HU), dtype=values.dtype).data)
    return digest.hexdigest()[:_DIGITS]


def image_digest(hu: np.ndarray) -> str:
    """A digest of a CT's values that anybody can compute; other axes or sides do not change it.

    Args:
        hu: (k, j, i); values beyond −1024 … 3071 count as these.
    """
    lowest = int(AIR_HU)
    counts = np.zeros(_HIGHEST_HU - lowest + 1, np.int64)
    for plane in hu:  # one at a time, because whole copies of large CT take gigabytes
        values = np.nan_to_num(np.rint(plane), nan=lowest)
        values = np.clip(values, lowest, _HIGHEST_HU).astype(np.int32) - lowest
        counts += np.bincount(values.ravel(), minlength=len(counts))
    used = np.flatnonzero(counts)
    facts = [sorted(hu.shape), counts[: used[-1] + 1 if len(used) else 0].tolist()]
    return sha256(json.dumps(facts).encode()).hexdigest()[:24]


def _key(salt: str, kind: bytes, content: bytes) -> str:
    return hmac.new(bytes.fromhex(salt), kind + b"\0" + content, sha256).hexdigest()[:_DIGITS]
