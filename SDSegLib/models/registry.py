"""The available models: those bundled with the program and those installed by the user."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..errors import InputError, ModelError, OutputError
from ..families.description import ModelDescription
from ..resources import resource_folder
from .folder import (
    CARD,
    DESCRIPTION,
    WEIGHTS,
    check_replaceable,
    check_weights_file,
    put_in_place,
    read_description,
    verify_weights,
)

MODELS_VARIABLE = "SDSEG_MODELS"
LARGEST_MODEL_BYTES = 20 * 2**30
_AGAIN = {"R": "Fetch it again", "r": "fetch it again"}


@dataclass(frozen=True)
class InstalledModel:
    """A model that can be used by its name.

    Attributes:
        folder: Its model folder.
        description: Its `model.json`.
        bundled: Whether it is bundled with the program; bundled models cannot be removed.
    """

    folder: Path
    description: ModelDescription
    bundled: bool

    @property
    def identity(self) -> str:
        """A key that distinguishes this model from others and from its earlier versions."""
        content = json.dumps(self.description.to_json(), sort_keys=True)
        return f"{self.folder} {hashlib.sha256(content.encode()).hexdigest()}"


def bundled_folder() -> Path:
    """The models bundled with the program."""
    return resource_folder() / "Models"


def user_folder() -> Path:
    """The user's model folder, kept on updates: `SDSEG_MODELS` or the platform's data folder."""
    chosen = os.environ.get(MODELS_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    return _user_data_folder() / "models"


def list_models() -> tuple[list[InstalledModel], list[str]]:
    """All models that segment, the user's first, and the errors of folders that are not usable.

    Models that carry masks of any structure are not among them; see `propagation_models`.
    """
    models, problems = installed_models()
    return [model for model in models if model.description.segments], problems


def propagation_models() -> list[InstalledModel]:
    """All usable models that carry a mask of any structure, the user's first."""
    return [model for model in installed_models()[0] if not model.description.segments]


def propagation_model(wanted: InstalledModel | None = None) -> InstalledModel:
    """The model that carries masks from slice to slice: the wanted one, or the first installed.

    Raises:
        ModelError: If there is none, or the wanted one segments structures of its own.
    """
    found = propagation_models()
    if wanted is not None and wanted.description.segments:
        known = ", ".join(model.description.name for model in found) or "none"
        raise ModelError(
            f"The model {wanted.description.name} segments its own structures and cannot carry a "
            f"drawn mask; installed for that are: {known}."
        )
    if wanted is None and not found:
        problems = installed_models()[1]
        broken = f" Not usable: {' '.join(problems)}" if problems else ""
        raise ModelError(
            "No model that carries masks is installed; install the program again, or a model "
            f"from its zip file or folder.{broken}"
        )
    return wanted or found[0]


def installed_models() -> tuple[list[InstalledModel], list[str]]:
    """All usable models, the user's first, and the errors of the folders that are not usable."""
    models: list[InstalledModel] = []
    problems: list[str] = []
    for root, bundled in ((user_folder(), False), (bundled_folder(), True)):
        if not root.is_dir():
            continue
        for folder in _model_folders(root, problems):
            try:
                description = read_description(folder)
            except ModelError as error:
                problems.append(str(error))
                continue
            if all(description.name != model.description.name for model in models):
                models.append(InstalledModel(folder, description, bundled))
    return models, problems


def default_model() -> str:
    """Name of the default model while there is no image: the first bundled one."""
    models, _ = list_models()
    bundled = [model for model in models if model.bundled] or models
    if not bundled:
        raise ModelError("No model is installed; install one from its zip file or folder.")
    return bundled[0].description.name


def find_model(name_or_folder: str) -> InstalledModel:
    """The model with this name, or in this folder.

    Raises:
        ModelError: If there is none; it names the available models.
    """
    if not name_or_folder.strip():
        raise ModelError("The model has no name; give the name of an installed one.")
    models, problems = installed_models()
    for model in models:
        if model.description.name == name_or_folder:
            return model
    folder = Path(name_or_folder).expanduser()
    if folder.is_dir():
        return InstalledModel(folder, read_description(folder), bundled=False)
    known = ", ".join(model.description.name for model in models) or "none"
    broken = f" Not usable: {' '.join(problems)}" if problems else ""
    raise ModelError(
        f"There is no model called {name_or_folder!r} and no such folder; installed are: {known}. "
        f"Choose one of them, or install it from its zip file or folder.{broken}"
    )


def models_for_volumes(name_or_folder: str | None) -> list[InstalledModel]:
    """The requested model, or all models for an automatic choice.

    Raises:
        ModelError: If there is none.
        InputError: If the requested model is for 2-D pictures.
    """
    if name_or_folder is None:
        models = [m for m in list_models()[0] if m.description.input.pictures is None]
        if not models:
            raise ModelError("No model is installed; install one from its zip file or folder.")
        return models
    model = find_model(name_or_folder)
    if model.description.input.pictures is not None:
        raise InputError(
            f"The model {model.description.name} segments pictures; choose one of volumes."
        )
    return [model]


def install_model(source: Path, overwrite: bool = False) -> InstalledModel:
    """Copy a model from a folder or a zip file into the user's folder, verified and atomic.

    Args:
        source: A model folder, or a zip file that contains one.
        overwrite: Replace an installed model of the same name.

    Raises:
        ModelError: If the source is not a model, is damaged, or is already installed.
        OutputError: If the user's folder cannot be written.
    """
    root = user_folder()
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root, prefix=".install-") as name:
            fresh = Path(name) / "model"
            if source.is_dir():
                _copy_folder(source, fresh)
            elif source.is_file():
                _unzip(source, fresh)
            else:
                raise ModelError(f"{source} does not exist; name a model folder or a zip file.")
            description = _checked(fresh, source)
            target = root / _safe_name(description.name)
            if not overwrite:
                _refuse_known(description.name, target)
            check_replaceable(target, overwrite=True)
            put_in_place(fresh, target)
    except OSError as error:
        raise OutputError(
            f"The model cannot be installed in {root}: {error}. Choose another folder with the "
            f"environment variable {MODELS_VARIABLE}."
        ) from error
    return InstalledModel(target, description, bundled=False)


def _model_folders(root: Path, problems: list[str]) -> list[Path]:
    """Subfolders with a description; unreadable ones are returned as problems."""
    folders = []
    try:
        found = sorted(root.iterdir())
    except OSError as error:
        problems.append(f"{root} cannot be read ({error.strerror}).")
        return []
    for path in found:
        if os.path.isfile(path / DESCRIPTION):
            folders.append(path)
        elif path.is_dir() and not os.access(path, os.R_OK | os.X_OK):
            problems.append(f"{path} cannot be read; change its permissions.")
    return folders


def _checked(fresh: Path, source: Path) -> ModelDescription:
    """The description of a copy with verified weights; error messages name the copy's source."""
    try:
        description = read_description(fresh)
        check_weights_file(verify_weights(fresh, description))
    except ModelError as error:
        text = str(error).replace(str(fresh), str(source))
        text = re.sub("([Rr])einstall the model", lambda m: _AGAIN[m[1]], text)
        raise ModelError(text) from error
    return description


def _refuse_known(name: str, target: Path) -> None:
    """Raise an error if the name is already in use."""
    if target.exists():
        raise ModelError(
            f"The model {name} is installed already in {target}; use --overwrite to replace it."
        )
    if (bundled_folder() / name).is_dir():
        raise ModelError(
            f"A model called {name} came with the program; use --overwrite to put yours in its "
            "place."
        )


def remove_model(name: str) -> Path:
    """Delete a model installed by the user; returns the deleted folder.

    Raises:
        ModelError: If there is none of that name, or it is bundled with the program.
    """
    model = find_model(name)
    if model.bundled or model.folder.parent != user_folder():
        raise ModelError(f"The model {name} in {model.folder} was not installed by you; it stays.")
    try:
        shutil.rmtree(model.folder)
    except OSError as error:
        raise OutputError(f"{model.folder} cannot be deleted: {error}.") from error
    return model.folder


def _user_data_folder() -> Path:
    """The folder that platformdirs would return; 3D Slicer's Python lacks that package."""
    try:
        import platformdirs
    except ModuleNotFoundError:
        pass
    else:
        return Path(platformdirs.user_data_dir("sdseg", appauthor=False))
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "sdseg"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "sdseg"
    share = os.environ.get("XDG_DATA_HOME", "").strip()
    return (Path(share) if share else Path.home() / ".local" / "share") / "sdseg"


def _copy_folder(source: Path, target: Path) -> None:
    target.mkdir()
    for name in (DESCRIPTION, WEIGHTS, CARD):
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)


def _unzip(source: Path, target: Path) -> None:
    """Extract the three known files from a zip; names and folders in it are not trusted."""
    try:
        archive = zipfile.ZipFile(source)
    except (zipfile.BadZipFile, EOFError) as error:
        raise ModelError(
            f"{source} is not a zip file; install a model folder or a zip of one."
        ) from error
    with archive:
        found = [
            item
            for item in archive.infolist()
            if PurePosixPath(item.filename).name in (DESCRIPTION, WEIGHTS, CARD)
        ]
        folders = {
            PurePosixPath(item.filename).parent
            for item in found
            if PurePosixPath(item.filename).name == DESCRIPTION
        }
        if not folders:
            raise ModelError(f"{source} holds no {DESCRIPTION}; it is not a model.")
        if len(folders) > 1:
            raise ModelError(f"{source} holds {len(folders)} models; install them one by one.")
        members = {
            PurePosixPath(item.filename).name: item
            for item in found
            if PurePosixPath(item.filename).parent in folders
        }
        if sum(item.file_size for item in members.values()) > LARGEST_MODEL_BYTES:
            raise ModelError(f"{source} unpacks to more than 20 GiB; it is not a model of ours.")
        target.mkdir()
        for name, item in members.items():
            try:
                with archive.open(item) as stream, (target / name).open("wb") as copy:
                    shutil.copyfileobj(stream, copy)
            except (zipfile.BadZipFile, EOFError) as error:
                raise ModelError(f"{source} is damaged: {error}. Fetch it again.") from error


def _safe_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise ModelError(
            f"The model's name {name!r} cannot be a folder's name; use letters, digits, '-', '_'."
        )
    return name
