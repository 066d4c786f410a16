"""Models that are not bundled: an index of them, and their download when the user asks for one.

An index is a JSON file, on a web server or in a folder:

    {"format": 1, "models": [{"name": "liver", "version": "1.0.0", "url": "liver-1.0.0.zip",
      "sha256": "…", "size": 12345678, "license": "Apache-2.0", "summary": "…"}]}

Addresses may be relative to that of the index. Each names a file as `sdseg models pack` writes it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from ..errors import ModelError
from ..language import tr
from ..untrusted import is_plain, parse_json, read_json, shown, text_of, whole_number
from .registry import (
    LARGEST_MODEL_BYTES,
    InstalledModel,
    install_model,
    installed_models,
    user_folder,
)
from .transfer import fetch_file, fetch_text, is_url, shown_url
from .weights import sha256_of

INDEX_VARIABLE = "SDSEG_MODEL_INDEX"
DEFAULT_INDEX = "https://github.com/TO-FILL-IN/SDSeg/releases/download/models/models.json"
FORMAT = 1
_PLACEHOLDER = "TO-FILL-IN"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LONGEST_TEXT = 4096
Report = Callable[[int, int], None]


@dataclass(frozen=True)
class OnlineModel:
    """An entry of an index.

    Attributes:
        name: Name of the model.
        version: Version of its weights.
        place: Address or path of its file.
        sha256: Digest of the file, in hexadecimal.
        size: Bytes of the file.
        license: SPDX identifier of the licence of the weights.
        summary: One sentence on what it is for; may be empty.
    """

    name: str
    version: str
    place: str
    sha256: str
    size: int
    license: str
    summary: str = ""


def index_place(wanted: str | None = None) -> str:
    """Address or path of the index: the wanted one, else `SDSEG_MODEL_INDEX`, else the project's.

    Raises:
        ModelError: If there is none.
    """
    place = wanted or os.environ.get(INDEX_VARIABLE) or DEFAULT_INDEX
    if _PLACEHOLDER in place:
        raise ModelError(
            tr(
                "This version of SDSeg knows no index of models; name the address or the file "
                "of one in the environment variable {index_variable}."
            ).format(index_variable=INDEX_VARIABLE)
        )
    return place


def read_index(wanted: str | None = None) -> list[OnlineModel]:
    """The models of an index.

    Args:
        wanted: Address or path of the index; by default as for `index_place`.

    Raises:
        ModelError: If it cannot be fetched or is not valid.
    """
    place = index_place(wanted)
    try:
        if is_url(place):
            data = parse_json(fetch_text(place))
        else:
            data = read_json(Path(os.path.expanduser(place)))
    except OSError as error:
        raise ModelError(
            tr("The index {place} cannot be read ({reason}); name its address or file.").format(
                place=shown(place), reason=error.strerror
            )
        ) from error
    except ValueError as error:
        raise ModelError(
            tr("{place} is no index of models: {error}.").format(place=_shown(place), error=error)
        ) from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ModelError(
            tr(
                "{place} is no index of models of format {format}; check its address, or update "
                "SDSeg."
            ).format(place=_shown(place), format=FORMAT)
        )
    try:
        return [_entry(item, place) for item in data["models"]]
    except KeyError as error:
        raise ModelError(
            tr("The index {place} lacks the entry {error}.").format(
                place=_shown(place), error=error
            )
        ) from error
    except (TypeError, ValueError) as error:
        raise ModelError(
            tr("The index {place} is not valid: {error}.").format(place=_shown(place), error=error)
        ) from error


def find_online(name: str, models: list[OnlineModel], version: str | None = None) -> OnlineModel:
    """The newest model of this name, or the one of a version.

    Raises:
        ModelError: If there is none; it names those that there are.
    """
    found = [item for item in models if item.name == name]
    fitting = [item for item in found if version in (None, item.version)]
    if fitting:
        return max(fitting, key=lambda item: _number(item.version))
    if found:
        known = ", ".join(item.version for item in found)
        raise ModelError(
            tr("There is no version {version} of {name}; there are: {known}.").format(
                version=version, name=name, known=known
            )
        )
    known = ", ".join(sorted({item.name for item in models})) or tr("none")
    raise ModelError(
        tr("The index names no model {name}; it names: {known}.").format(
            name=shown(name), known=known
        )
    )


def download_model(
    model: OnlineModel, overwrite: bool = False, report: Report = lambda done, size: None
) -> InstalledModel:
    """Fetch a model's file, verify it, and install it as `install_model` does.

    An interrupted download is continued by the next call.

    Args:
        model: An entry of an index.
        overwrite: Replace an installed model of the same name.
        report: Called with the bytes that have arrived and the size of the file.

    Raises:
        ModelError: If it cannot be fetched, is not the expected file, or is installed already.
        OutputError: If it cannot be written.
    """
    if not overwrite:
        _refuse_installed(model)
    expected = (model.name, model.version)
    if not is_url(model.place):
        path = Path(model.place)
        if not path.is_file():
            raise ModelError(tr("The index names {path}, which does not exist.").format(path=path))
        if sha256_of(path) != model.sha256:
            raise ModelError(
                tr("{path} is not the file that the index names: its SHA-256 differs.").format(
                    path=path
                )
            )
        return install_model(path, overwrite, expected)
    return _fetch_and_install(model.place, model.sha256, model.size, overwrite, expected, report)


def download_from(
    url: str, sha256: str, overwrite: bool = False, report: Report = lambda done, size: None
) -> InstalledModel:
    """Fetch a model's file from an address whose digest is known, verify and install it.

    Args:
        url: Address of a zip file that holds a model.
        sha256: Its digest, in hexadecimal.
        overwrite: Replace an installed model of the same name.
        report: As for `download_model`.

    Raises:
        ModelError: As for `download_model`, and if the digest is none.
        OutputError: If it cannot be written.
    """
    digest = sha256.strip().lower()
    if not _SHA256.fullmatch(digest):
        raise ModelError(
            tr("{sha256} is no SHA-256; it has 64 digits of 0-9 and a-f.").format(
                sha256=shown(sha256)
            )
        )
    return _fetch_and_install(url, digest, None, overwrite, None, report)


def _fetch_and_install(
    url: str,
    sha256: str,
    size: int | None,
    overwrite: bool,
    expected: tuple[str, str] | None,
    report: Report,
) -> InstalledModel:
    folder = user_folder() / ".downloads"
    path = fetch_file(url, sha256, folder, size, LARGEST_MODEL_BYTES, report)
    try:
        return install_model(path, overwrite, expected)
    except ModelError as error:
        raise ModelError(str(error).replace(str(path), shown_url(url))) from error
    finally:
        path.unlink(missing_ok=True)


def _refuse_installed(model: OnlineModel) -> None:
    for item in installed_models()[0]:
        if item.description.name == model.name:
            text = tr(
                "The model {model} {has} is installed; use --overwrite to put {new} in its place."
            )
            if item.bundled:
                text = tr(
                    "The model {model} {has} came with the program; use --overwrite to put {new} "
                    "in its place."
                )
            has = item.description.version
            raise ModelError(text.format(model=model.name, has=has, new=model.version))


def _entry(item: Any, place: str) -> OnlineModel:
    if not isinstance(item, dict):
        raise ValueError(tr("{item} is no entry").format(item=shown(item)))
    texts = {key: text_of(item[key]) for key in ("name", "version", "url", "sha256", "license")}
    texts["summary"] = str(item.get("summary", ""))
    for key, text in texts.items():
        if len(text) > _LONGEST_TEXT or not is_plain(text):
            raise ValueError(
                tr("{key} {text} is too long or holds control characters").format(
                    key=key, text=shown(text)
                )
            )
    digest, size = texts["sha256"].lower(), whole_number(item["size"])
    if not _SHA256.fullmatch(digest):
        raise ValueError(
            tr("sha256 {digest} of {shown} is none").format(
                digest=shown(digest), shown=shown(texts["name"])
            )
        )
    if not 0 < size <= LARGEST_MODEL_BYTES:
        raise ValueError(
            tr("the size {size} of {shown} is none").format(size=size, shown=shown(texts["name"]))
        )
    return OnlineModel(
        name=texts["name"],
        version=texts["version"],
        place=_place(texts["url"], place),
        sha256=digest,
        size=size,
        license=texts["license"],
        summary=texts["summary"],
    )


def _place(url: str, index: str) -> str:
    """Where an entry's file is: an address, or a path beside an index in a folder."""
    if is_url(index):
        joined = urljoin(index, url)
        if not is_url(joined):
            raise ValueError(tr("the address {url} is none of the web").format(url=shown(url)))
        return joined
    if is_url(url):
        return url
    if urlsplit(url).scheme and not Path(url).drive:
        raise ValueError(tr("the address {url} is none of the web").format(url=shown(url)))
    return str(Path(os.path.expanduser(index)).parent / unquote(url))


def _number(version: str) -> tuple[int, ...]:
    """A version for comparison; parts that are no numbers count as 0."""
    return tuple(int(part) if part.isdecimal() else 0 for part in version.split("."))


def _shown(place: str) -> str:
    return shown_url(place) if is_url(place) else shown(place)
