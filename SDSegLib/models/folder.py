"""Model folders on disk: `model.json`, `model.safetensors` and `MODEL_CARD.md`.

Weights are safetensors, which contain numbers and no code; their SHA-256 is checked before use.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ModelError, OutputError
from ..families.description import ModelDescription

if TYPE_CHECKING:
    from torch import Tensor

    from ..families.base import Family, SegmentationFamily

DESCRIPTION = "model.json"
WEIGHTS = "model.safetensors"
CARD = "MODEL_CARD.md"
_LONGEST_HEADER = 100_000_000


def read_description(folder: Path) -> ModelDescription:
    """Read and check `model.json`.

    Raises:
        ModelError: If the folder is not a model folder or its description is not valid.
    """
    path = folder / DESCRIPTION
    if not os.path.isfile(path) and os.access(folder, os.X_OK):
        raise ModelError(
            f"{folder} is not a model folder: it has no {DESCRIPTION}. Name an installed model "
            "or a folder that holds model.json and model.safetensors."
        )
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(
            f"{path} cannot be read ({error.strerror}); change its permissions."
        ) from error
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ModelError(f"{path} is damaged ({error}); reinstall the model.") from error
    return ModelDescription.from_json(data, str(path))


def verify_weights(folder: Path, description: ModelDescription) -> Path:
    """The path of the weights, after their SHA-256 was compared with the description.

    Raises:
        ModelError: If the file is missing or differs, with both checksums.
    """
    path = folder / WEIGHTS
    if not path.is_file():
        raise ModelError(f"{folder} lacks {WEIGHTS}; reinstall the model.")
    found = sha256_of(path)
    if found != description.weights_sha256:
        raise ModelError(
            f"The weights in {path} are damaged or were changed: SHA-256 is {found}, "
            f"{DESCRIPTION} says {description.weights_sha256}. Reinstall the model."
        )
    return path


def load_family(folder: Path) -> SegmentationFamily:
    """As `load_networks`, for a model that segments slices from the image alone.

    Raises:
        ModelError: As `load_networks`, and if the model is of another kind.
    """
    from ..families.base import segmentation_family

    return segmentation_family(load_networks(folder))


def load_networks(folder: Path) -> Family:
    """Build a model's networks and load its verified weights, as float32 on the CPU.

    Raises:
        ModelError: If a file in the folder is missing or damaged, or the files do not match.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    description = read_description(folder)
    path = verify_weights(folder, description)
    family = _build(description, folder)
    try:
        weights = {name: tensor.float() for name, tensor in load_file(path).items()}
        family.load_state_dict(weights, strict=True)
    except (SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise ModelError(
            f"The weights in {path} do not fit the networks in {DESCRIPTION} ({reason}); "
            "reinstall the model."
        ) from error
    return family.eval()


def write_model_folder(
    folder: Path,
    description: ModelDescription,
    weights: Mapping[str, Tensor],
    card: str,
    half: bool | None = None,
    overwrite: bool = False,
) -> ModelDescription:
    """Write a model folder, completely or not at all.

    Args:
        folder: Folder to write; its parent must exist.
        description: Description of the model; the checksum is filled in here.
        weights: State dict of the family.
        card: Text of the model card.
        half: Store weights as float16; this is the default unless the model predicts epsilon,
            whose rounding errors the single step would amplify 38.7 times. The stored noise
            remains float32.
        overwrite: Replace an existing folder.

    Returns:
        The description with the checksum.

    Raises:
        OutputError: If the folder exists already or cannot be written.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    check_replaceable(folder, overwrite)
    if half is None:
        half = description.diffusion.prediction != "epsilon"
    stored = {
        name: (
            tensor.detach().cpu().half()
            if half and tensor.dtype == torch.float32 and name != "stored_noise"
            else tensor.detach().cpu()
        ).contiguous()
        for name, tensor in weights.items()
    }
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".sdseg-") as name:
            fresh = Path(name) / folder.name
            fresh.mkdir()
            save_file(stored, fresh / WEIGHTS)
            (fresh / WEIGHTS).chmod(0o644)
            description = replace(description, weights_sha256=sha256_of(fresh / WEIGHTS))
            text = json.dumps(description.to_json(), indent=2, ensure_ascii=False)
            (fresh / DESCRIPTION).write_text(text + "\n", encoding="utf-8")
            (fresh / CARD).write_text(card, encoding="utf-8")
            put_in_place(fresh, folder)
    except (OSError, SafetensorError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise OutputError(
            f"The model cannot be written to {folder} ({reason.rstrip('.')}); free space on its "
            "disk or choose another folder."
        ) from error
    return description


def check_replaceable(folder: Path, overwrite: bool) -> None:
    """Check whether a model folder can be written to this path, before writing.

    Raises:
        OutputError: If the path exists and must not be replaced: without `overwrite` in any case,
            with it if the path is not a model folder.
    """
    if not os.path.lexists(folder):
        return
    if not overwrite:
        raise OutputError(
            f"{folder} exists already; choose another name or allow overwriting (--overwrite)."
        )
    if not folder.is_dir() or folder.resolve() == Path.cwd():
        raise OutputError(f"{folder} is no model folder and stays; choose another name.")
    names = {path.name for path in folder.iterdir()}
    others = sorted(names - {DESCRIPTION, WEIGHTS, CARD})
    if others or (names and DESCRIPTION not in names):
        held = (others or sorted(names))[0]
        raise OutputError(
            f"{folder} is no model folder and stays as it is, for it holds {held}; choose another "
            "name."
        )


def check_weights_file(path: Path) -> None:
    """Check the header of a safetensors file; needs no package.

    Raises:
        ModelError: If it is another kind of file, such as a pickle, or truncated.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        text = stream.read(length) if length <= min(size, _LONGEST_HEADER) else b""
    try:
        header = json.loads(text)
        ends = [header[name]["data_offsets"][1] for name in header if name != "__metadata__"]
        is_whole = 8 + length + max(ends) == size
    except (KeyError, TypeError, IndexError, ValueError, RecursionError):
        raise ModelError(
            f"{path} is no safetensors file; weights of other kinds, such as pickles, can hold "
            "code and are not taken."
        ) from None
    if not is_whole:
        raise ModelError(f"{path} is cut short ({size:,} bytes); fetch it again.")


def _build(description: ModelDescription, folder: Path) -> Family:
    """The networks of a description whose sizes have not been checked yet."""
    from ..families import build_family

    try:
        return build_family(description)
    except (
        TypeError,
        ValueError,
        ArithmeticError,
        LookupError,
        RuntimeError,
        MemoryError,
    ) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise ModelError(
            f"The network sizes in {folder / DESCRIPTION} are not valid ({reason}); reinstall the "
            "model."
        ) from error


def put_in_place(fresh: Path, folder: Path) -> None:
    """Move a finished folder to its final path on the same disk; then remove the old folder."""
    if not folder.exists():
        fresh.rename(folder)
        return
    old = fresh.parent / "old"
    folder.rename(old)
    try:
        fresh.rename(folder)
    except OSError:
        old.rename(folder)
        raise
    shutil.rmtree(old)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
