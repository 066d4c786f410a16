"""The available models: those bundled with the program and those installed by the user."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..archives import ARCHIVE_ERRORS, begins_as_zip, is_damage, problem_with, reason
from ..errors import InputError, ModelError, OutputError
from ..families import Use
from ..families.description import ModelDescription
from ..language import tr
from ..resources import resource_folder
from ..unfinished import unfinished_folder
from ..untrusted import LARGEST_JSON_BYTES, shown
from .folder import (
    CARD,
    DESCRIPTION,
    WEIGHTS,
    check_replaceable,
    put_in_place,
    read_description,
    verify_weights,
)
from .weights import check_finite, check_weights_file

MODELS_VARIABLE = "SDSEG_MODELS"
LARGEST_MODEL_BYTES = 20 * 2**30
_LARGEST_RATIO = 100
_SMALL = 4096
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
        return Path(os.path.expanduser(chosen))
    return user_data_folder() / "models"


def list_models() -> tuple[list[InstalledModel], list[str]]:
    """All models that segment, the user's first, and the errors of folders that are not usable.

    Models for another use are not among them; see `propagation_models` and `foundation_model`.
    """
    models, problems = installed_models()
    return [model for model in models if model.description.segments], problems


def propagation_models() -> list[InstalledModel]:
    """All usable models that carry a mask of any structure, the user's first."""
    return models_for("carry")


def propagation_model(wanted: InstalledModel | None = None) -> InstalledModel:
    """The model that carries masks from slice to slice: the wanted one, or the first installed.

    Raises:
        ModelError: If there is none, or the wanted one is for another use.
    """
    found = propagation_models()
    if wanted is not None and wanted.description.use != "carry":
        known = ", ".join(model.description.name for model in found) or tr("none")
        text = tr("The model {model} cannot carry a drawn mask; installed for that are: {known}.")
        if wanted.description.segments:
            text = tr(
                "The model {model} segments its own structures and cannot carry a drawn mask; "
                "installed for that are: {known}."
            )
        raise ModelError(text.format(model=wanted.description.name, known=known))
    if wanted is None and not found:
        problems = installed_models()[1]
        broken = (
            tr(" Not usable: {problems}").format(problems=" ".join(problems)) if problems else ""
        )
        raise ModelError(
            tr(
                "No model that carries masks is installed; install the program again, or a "
                "model from its zip file or folder.{broken}"
            ).format(broken=broken)
        )
    return wanted or found[0]


def foundation_model() -> InstalledModel:
    """The model with whose weights learning from few cases begins.

    Raises:
        ModelError: If none is installed.
    """
    found = models_for("start")
    if not found:
        raise ModelError(
            tr(
                "No model to begin with is installed; install the program again, or begin with a "
                "model that segments."
            )
        )
    return found[0]


def models_for(use: Use) -> list[InstalledModel]:
    """All usable models of one use, the user's first."""
    return [model for model in installed_models()[0] if model.description.use == use]


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
        raise ModelError(tr("No model is installed; install one from its zip file or folder."))
    return bundled[0].description.name


def find_model(name_or_folder: str) -> InstalledModel:
    """The model with this name, or in this folder, or in a folder of this name among the installed.

    Raises:
        ModelError: If there is none; it names the available models.
    """
    if not name_or_folder.strip():
        raise ModelError(tr("The model has no name; give the name of an installed one."))
    models, problems = installed_models()
    for model in models:
        if model.description.name == name_or_folder:
            return model
    # Unlike those of pathlib, these do not fail for unknown users and names that are too long.
    folder = Path(os.path.expanduser(name_or_folder))
    if os.path.isdir(folder):
        return InstalledModel(folder, read_description(folder), bundled=False)
    for model in models:
        if model.folder.name == name_or_folder:
            return model
    known = ", ".join(model.description.name for model in models) or tr("none")
    broken = tr(" Not usable: {problems}").format(problems=" ".join(problems)) if problems else ""
    raise ModelError(
        tr(
            "There is no model called {name_or_folder!r} and no such folder; installed are: "
            "{known}. Choose one of them, or install it from its zip file or folder.{broken}"
        ).format(name_or_folder=name_or_folder, known=known, broken=broken)
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
            raise ModelError(tr("No model is installed; install one from its zip file or folder."))
        return models
    model = find_model(name_or_folder)
    if model.description.input.pictures is not None:
        raise InputError(
            tr("The model {model} segments pictures; choose one of volumes.").format(
                model=model.description.name
            )
        )
    return [model]


def install_model(
    source: Path, overwrite: bool = False, expected: tuple[str, str] | None = None
) -> InstalledModel:
    """Copy a model from a folder or a zip file into the user's folder, verified and atomic.

    Args:
        source: A model folder, or a zip file that contains one.
        overwrite: Replace an installed model of the same name.
        expected: Name and version that it must have.

    Raises:
        ModelError: If the source is not a model, is damaged, is another one than expected, or is
            already installed.
        OutputError: If the user's folder cannot be written.
    """
    root = user_folder()
    try:
        root.mkdir(parents=True, exist_ok=True)
        with unfinished_folder(root) as folder:
            fresh = folder / "model"
            if os.path.isdir(source):  # those of pathlib fail for names that are too long
                _copy_folder(source, fresh)
            elif os.path.isfile(source):
                _unzip(source, fresh)
            else:
                raise ModelError(
                    tr("{source} does not exist; name a model folder or a zip file.").format(
                        source=source
                    )
                )
            description = _checked(fresh, source)
            if expected not in (None, (description.name, description.version)):
                raise ModelError(
                    tr(
                        "{source} holds {model} {version}, and {expected} was expected; "
                        "nothing was installed."
                    ).format(
                        source=source,
                        model=description.name,
                        version=description.version,
                        expected=" ".join(expected or ()),
                    )
                )
            target = root / _safe_name(description.name)
            if not overwrite:
                _refuse_known(description.name, target)
            check_replaceable(target, overwrite=True)
            try:
                put_in_place(fresh, target, overwrite)
            except FileExistsError:
                raise _known_already(description.name, target) from None
    except OSError as error:
        raise OutputError(
            tr(
                "The model cannot be installed in {folder}: {error}. Choose another folder with "
                "the environment variable {models_variable}."
            ).format(folder=root, error=error.strerror or error, models_variable=MODELS_VARIABLE)
        ) from error
    return InstalledModel(target, description, bundled=False)


def _model_folders(root: Path, problems: list[str]) -> list[Path]:
    """Subfolders with a description; unreadable ones are returned as problems."""
    folders = []
    try:
        found = sorted(root.iterdir())
    except OSError as error:
        problems.append(
            tr("{folder} cannot be read ({reason}).").format(folder=root, reason=error.strerror)
        )
        return []
    for path in found:
        if os.path.isfile(path / DESCRIPTION):
            folders.append(path)
        elif path.is_dir() and not os.access(path, os.R_OK | os.X_OK):
            problems.append(tr("{path} cannot be read; change its permissions.").format(path=path))
    return folders


def _checked(fresh: Path, source: Path) -> ModelDescription:
    """The description of a copy with verified weights; error messages name the copy's source."""
    try:
        description = read_description(fresh)
        check_finite(verify_weights(fresh, description))
    except ModelError as error:
        text = str(error).replace(str(fresh), str(source))
        text = re.sub("([Rr])einstall the model", lambda m: _AGAIN[m[1]], text)
        raise ModelError(text) from error
    return description


def _refuse_known(name: str, target: Path) -> None:
    """Raise an error if the name is already in use."""
    if os.path.lexists(target):
        raise _known_already(name, target)
    if (bundled_folder() / name).is_dir():
        raise ModelError(
            tr(
                "A model called {name} came with the program; use --overwrite to put yours in "
                "its place."
            ).format(name=name)
        )


def _known_already(name: str, target: Path) -> ModelError:
    return ModelError(
        tr(
            "The model {name} is installed already in {target}; use --overwrite to replace it."
        ).format(name=name, target=target)
    )


def remove_model(name: str) -> Path:
    """Delete a model installed by the user; returns the deleted folder.

    Only the files of a model are deleted, and only in a folder of its own directly inside the
    user's model folder.

    Args:
        name: Name or folder of a model; of a damaged one, whose own name cannot be read, its folder
            or the name of that.

    Raises:
        ModelError: If there is none of that name, or it lies elsewhere.
        OutputError: If the folder holds other files, or cannot be deleted.
    """
    folder = _folder_to_remove(name)
    if folder.is_symlink():
        raise ModelError(
            tr(
                "The model {name} is a link in {folder} to {target}, which SDSeg did "
                "not make; remove the link yourself."
            ).format(name=name, folder=folder, target=folder.resolve())
        )
    if folder.resolve().parent != user_folder().resolve():
        raise ModelError(
            tr("The model {name} in {folder} was not installed by you; it stays.").format(
                name=name, folder=folder
            )
        )
    try:
        check_replaceable(folder, overwrite=True)
        for part in (WEIGHTS, CARD, DESCRIPTION):
            (folder / part).unlink(missing_ok=True)
        folder.rmdir()
    except OSError as error:
        raise OutputError(
            tr("{folder} cannot be deleted: {reason}. Change its permissions.").format(
                folder=folder, reason=error.strerror or error
            )
        ) from error
    return folder


def _folder_to_remove(name: str) -> Path:
    """The folder of the user's model with this name, else of a damaged one that is called so."""
    own = [model for model in installed_models()[0] if not model.bundled]
    for model in own:
        if model.description.name == name:
            return model.folder
    called = Path(os.path.expanduser(name))
    folder = user_folder() / called if called.name == name else called
    if folder.parent.resolve() == user_folder().resolve() and os.path.isfile(folder / DESCRIPTION):
        try:
            read_description(folder)
        except ModelError:
            return folder
    return find_model(name).folder


def user_data_folder() -> Path:
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
        path = source / name
        if path.is_file():
            _refuse_large(name, path.stat().st_size, source)
            if name == WEIGHTS:
                check_weights_file(path)
            shutil.copyfile(path, target / name)


def _refuse_large(name: str, size: int, source: Path) -> None:
    largest = LARGEST_MODEL_BYTES if name == WEIGHTS else LARGEST_JSON_BYTES
    if size > largest:
        raise ModelError(
            tr(
                "{name} in {source} has {size:,} bytes, and models of ours have at most "
                "{largest:,}; it is none, or it is damaged."
            ).format(name=name, source=source, size=size, largest=largest)
        )


def _unzip(source: Path, target: Path) -> None:
    """Extract the three known files from a zip; names and folders in it are not trusted."""
    try:
        with zipfile.ZipFile(source) as archive:
            members = _members(archive, source)
            target.mkdir()
            for name, item in members.items():
                with archive.open(item) as stream, (target / name).open("wb") as copy:
                    shutil.copyfileobj(stream, copy)
    except ARCHIVE_ERRORS as error:
        raise _unusable(source, error) from error
    except OSError as error:
        if not is_damage(error):
            raise
        raise _unusable(source, error) from error


def _unusable(source: Path, error: BaseException) -> ModelError:
    """What to say of a file that cannot be unpacked."""
    if not zipfile.is_zipfile(source):
        if not begins_as_zip(source):
            return ModelError(
                tr("{source} is not a zip file; install a model folder or a zip of one.").format(
                    source=source
                )
            )
        error = EOFError()  # of a zip file the directory lies at the end
    return ModelError(
        tr("{source} is damaged: {error}. Fetch it again.").format(
            source=source, error=reason(error)
        )
    )


def _members(archive: zipfile.ZipFile, source: Path) -> dict[str, zipfile.ZipInfo]:
    """The model's files in an archive, after its directory was checked; nothing is unpacked."""
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
        raise ModelError(
            tr("{source} holds no {file}; it is not a model.").format(
                source=source, file=DESCRIPTION
            )
        )
    if len(folders) > 1:
        raise ModelError(
            tr("{source} holds {count} models; install them one by one.").format(
                source=source, count=len(folders)
            )
        )
    members = {
        PurePosixPath(item.filename).name: item
        for item in found
        if PurePosixPath(item.filename).parent in folders
    }
    for name, item in members.items():
        problem = problem_with(item)
        if problem is not None:
            raise ModelError(
                tr("{name} in {source} cannot be unpacked: {problem}.").format(
                    name=name, source=source, problem=problem
                )
            )
        _refuse_large(name, item.file_size, source)
        if item.file_size > _LARGEST_RATIO * max(item.compress_size, _SMALL):
            raise ModelError(
                tr(
                    "{name} in {source} cannot be unpacked: its {compress_size:,} bytes would "
                    "become {file_size:,}, which is no model."
                ).format(
                    name=name,
                    source=source,
                    compress_size=item.compress_size,
                    file_size=item.file_size,
                )
            )
    return members


def _safe_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise ModelError(
            tr(
                "The model's name {name} cannot be a folder's name; use letters, digits, '-', '_'."
            ).format(name=shown(name))
        )
    return name
