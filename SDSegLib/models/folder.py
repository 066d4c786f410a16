"""Model folders on disk: `model.json`, `model.safetensors` and `MODEL_CARD.md`.

Weights are safetensors, which contain numbers and no code; their SHA-256 is checked before use.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ModelError, OutputError
from ..families.description import ModelDescription
from ..language import tr
from ..unfinished import unfinished_folder
from ..untrusted import read_json
from .weights import check_weights_file, not_finite, sha256_of

if TYPE_CHECKING:
    from torch import Tensor

    from ..families.base import Family, SegmentationFamily

DESCRIPTION = "model.json"
WEIGHTS = "model.safetensors"
CARD = "MODEL_CARD.md"
_EXISTS = (errno.EEXIST, errno.ENOTEMPTY)


def read_description(folder: Path) -> ModelDescription:
    """Read and check `model.json`.

    Raises:
        ModelError: If the folder is not a model folder or its description is not valid.
    """
    path = folder / DESCRIPTION
    if not os.path.isfile(path) and os.access(folder, os.X_OK):
        raise ModelError(
            tr(
                "{folder} is not a model folder: it has no {file}. Name an installed "
                "model or a folder that holds model.json and model.safetensors."
            ).format(folder=folder, file=DESCRIPTION)
        )
    try:
        data = read_json(path)
    except OSError as error:
        raise ModelError(
            tr("{path} cannot be read ({reason}); change its permissions.").format(
                path=path, reason=error.strerror
            )
        ) from error
    except ValueError as error:
        raise ModelError(
            tr("{path} is damaged ({error}); reinstall the model.").format(path=path, error=error)
        ) from error
    return ModelDescription.from_json(data, str(path))


def verify_weights(folder: Path, description: ModelDescription) -> Path:
    """The path of the weights, after their header and SHA-256 were checked.

    Raises:
        ModelError: If the file is missing, is no safetensors file, or differs from the
            description, with both checksums.
    """
    path = folder / WEIGHTS
    if not path.is_file():
        raise ModelError(
            tr("{folder} lacks {weights}; reinstall the model.").format(
                folder=folder, weights=WEIGHTS
            )
        )
    check_weights_file(path)
    found = sha256_of(path)
    if found != description.weights_sha256:
        raise ModelError(
            tr(
                "The weights in {path} are damaged or were changed: SHA-256 is {found}, "
                "{file} says {weights_sha256}. Reinstall the model."
            ).format(
                path=path,
                found=found,
                file=DESCRIPTION,
                weights_sha256=description.weights_sha256,
            )
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

    Networks that would have more weights than the file are not built, so a wrong size cannot take
    more memory than the file itself.

    Raises:
        ModelError: If a file in the folder is missing or damaged, or the files do not match.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    description = read_description(folder)
    path = verify_weights(folder, description)
    with _at_most(check_weights_file(path), path):
        family = _build(description, folder)
    try:
        weights = {name: tensor.float() for name, tensor in load_file(path).items()}
        for name, tensor in weights.items():
            if not torch.isfinite(tensor).all():
                raise not_finite(name, path)
        family.load_state_dict(weights, strict=True)
    except (SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise ModelError(
            tr(
                "The weights in {path} do not fit the networks in {file} ({reason}); "
                "reinstall the model."
            ).format(path=path, file=DESCRIPTION, reason=reason)
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
        with unfinished_folder(folder.parent) as unfinished:
            fresh = unfinished / folder.name
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
            tr(
                "The model cannot be written to {folder} ({reason}); free space on its disk or "
                "choose another folder."
            ).format(folder=folder, reason=reason.rstrip("."))
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
            tr(
                "{folder} exists already; choose another name or allow overwriting (--overwrite)."
            ).format(folder=folder)
        )
    if not folder.is_dir() or folder.resolve() == Path.cwd():
        raise OutputError(
            tr("{folder} is no model folder and stays; choose another name.").format(folder=folder)
        )
    names = {path.name for path in folder.iterdir()}
    others = sorted(names - {DESCRIPTION, WEIGHTS, CARD})
    if others or (names and DESCRIPTION not in names):
        held = (others or sorted(names))[0]
        raise OutputError(
            tr(
                "{folder} is no model folder and stays as it is, for it holds {held}; choose "
                "another name."
            ).format(folder=folder, held=held)
        )


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
            tr(
                "The network sizes in {folder} are not valid ({reason}); reinstall the model."
            ).format(folder=folder / DESCRIPTION, reason=reason)
        ) from error


@contextmanager
def _at_most(elements: int, path: Path) -> Iterator[None]:
    """Inside the block this thread makes networks of at most so many weights."""
    from torch.nn.modules.module import register_module_parameter_registration_hook

    made, thread = 0, threading.get_ident()

    def count(_: object, __: str, parameter: Tensor | None) -> None:
        nonlocal made
        if parameter is None or threading.get_ident() != thread:
            return
        made += parameter.numel()
        if made > elements:
            raise ModelError(
                tr(
                    "The network sizes in {path} need more than the {elements:,} weights in "
                    "{weights}; reinstall the model."
                ).format(path=path.parent / DESCRIPTION, elements=elements, weights=path)
            )

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()


def put_in_place(fresh: Path, folder: Path, overwrite: bool = True) -> None:
    """Move a finished folder to its final path on the same disk; then remove the old folder.

    Args:
        fresh: The finished folder.
        folder: Its final path; a symbolic link there is replaced, not what it points to.
        overwrite: Whether an existing folder is replaced.

    Raises:
        FileExistsError: If there is a folder that is not to be replaced, also if another process
            has put it there meanwhile.
        OSError: If the folder cannot be moved.
    """
    old = fresh.parent / "old"
    has_old = False
    if overwrite:
        with suppress(FileNotFoundError):
            folder.rename(old)
            has_old = True
    try:
        fresh.rename(folder)
    except OSError as error:
        if has_old and not os.path.lexists(folder):
            old.rename(folder)
        if error.errno in _EXISTS:
            raise FileExistsError(error.errno, "it exists already", str(folder)) from error
        raise
    if old.is_symlink():
        old.unlink()
    elif has_old:
        shutil.rmtree(old)
