"""Series of a picture archive: found by QIDO, fetched by WADO, segmentations stored by STOW.

Its URL is written like dicomweb+https://HOST/dicom-web?PatientID=17: the prefix tells it from other
URLs, and what follows the question mark are attributes of DICOM that the series must have.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from ..errors import InputError, MissingPackageError, OutputError
from ..language import tr
from .find import Study

if TYPE_CHECKING:
    from dicomweb_client.api import DICOMwebClient

PREFIX = "dicomweb+"
TOKEN_VARIABLE = "SDSEG_DICOMWEB_TOKEN"
_AT_A_TIME = 1000
_SERIES = re.compile(r"(.*)/studies/([0-9.]+)/series/([0-9.]+)")
_UID = re.compile(r"[0-9.]{1,64}")
_KEYWORD = re.compile(r"[A-Za-z][A-Za-z0-9]{1,63}|[0-9A-Fa-f]{8}")
_SECONDS = (20.0, 120.0)
"""To connect, and between two parts of an answer."""


def is_archive(text: str | Path) -> bool:
    """Whether a text is the URL of an archive, or of a series in one."""
    return str(text).startswith((f"{PREFIX}http://", f"{PREFIX}https://"))


class Archive:
    """A DICOMweb server.

    Names and passwords are taken from the user's ~/.netrc, or a token from the environment variable
    SDSEG_DICOMWEB_TOKEN; they are never part of a message.

    Args:
        url: As in the first lines of this module.

    Raises:
        InputError: If the URL is not as it should be.
        MissingPackageError: If dicomweb-client is not installed.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url.removeprefix(PREFIX))
        if not is_archive(url) or not parts.hostname:
            raise InputError(
                tr(
                    "{url} is no URL of an archive; it looks like "
                    "{prefix}https://HOST/dicom-web?PatientID=17."
                ).format(url=url, prefix=PREFIX)
            )
        if parts.username or parts.password:
            raise InputError(
                tr(
                    "The URL of the archive holds a name or a password, which others could "
                    "read; put them into ~/.netrc, or a token into {token_variable}."
                ).format(token_variable=TOKEN_VARIABLE)
            )
        self.address = urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))
        self.filters = dict(parse_qsl(parts.query, keep_blank_values=True))
        for name in self.filters:
            if not _KEYWORD.fullmatch(name):
                raise InputError(
                    tr("{name!r} is no attribute of DICOM, like PatientID; correct it.").format(
                        name=name
                    )
                )
        self._client = self._connected()

    @property
    def url(self) -> str:
        """Without attributes."""
        return f"{PREFIX}{self.address}"

    def series(self, modality: str) -> list[tuple[str, str]]:
        """UIDs of study and series of all series that have the attributes.

        Args:
            modality: Of the series, unless the URL names another.

        Raises:
            InputError: If the server does not answer as it should.
        """
        filters = {"Modality": modality, **self.filters}
        found: dict[tuple[str, str], None] = {}
        with self._errors(tr("searched")):
            while True:
                items = self._client.search_for_series(
                    search_filters=filters,
                    fields=["StudyInstanceUID"],
                    limit=_AT_A_TIME,
                    offset=len(found),
                )
                before = len(found)
                found |= dict.fromkeys(
                    (_uid(item, "0020000D"), _uid(item, "0020000E")) for item in items
                )
                if len(items) < _AT_A_TIME or len(found) == before:
                    return sorted(found)

    def has(self, study: str, series: str) -> bool:
        """Whether the archive has a series; False if it does not answer."""
        try:
            with self._errors(tr("searched")):
                return bool(
                    self._client.search_for_series(
                        study, search_filters={"SeriesInstanceUID": series}, limit=1
                    )
                )
        except InputError:
            return False

    def fetch(self, study: str, series: str, folder: Path) -> None:
        """Write the images of a series into a folder, as the archive stores them.

        Raises:
            InputError: If they cannot be fetched.
        """
        with self._errors(tr("read")):
            images = self._client.iter_series(
                study, series, media_types=(("application/dicom", "*"),)
            )
            for number, image in enumerate(images):
                image.save_as(folder / f"{number:06}.dcm", enforce_file_format=True)

    def store(self, path: Path) -> None:
        """Store a DICOM file.

        Raises:
            OutputError: If the archive does not take it.
        """
        import pydicom

        try:
            with self._errors(tr("written")):
                answer = self._client.store_instances([pydicom.dcmread(path)])
        except InputError as error:
            raise OutputError(str(error)) from error
        failed = getattr(answer, "FailedSOPSequence", None)
        if failed:
            reason = getattr(failed[0], "FailureReason", tr("no reason"))
            raise OutputError(
                tr("{url} refused a segmentation ({reason}); ask its administrator.").format(
                    url=self.url, reason=reason
                )
            )

    def _connected(self) -> DICOMwebClient:
        try:
            from dicomweb_client.api import DICOMwebClient
            from dicomweb_client.session_utils import create_session
        except ModuleNotFoundError:
            raise MissingPackageError("dicomweb-client", "pacs", tr("An archive")) from None
        session = create_session()
        token = os.environ.get(TOKEN_VARIABLE, "")
        headers = {"Authorization": f"Bearer {token}"} if token else None
        client = DICOMwebClient(self.address, session=session, headers=headers, timeout=_SECONDS)
        client.set_http_retry_params(retry=True, max_attempts=3)
        return client

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        """Errors of the network and of answers that are not as they should be, in words."""
        import requests

        try:
            yield
        except requests.HTTPError as error:
            status = getattr(error.response, "status_code", 0)
            remedy = (
                tr("put name and password into ~/.netrc, or a token into {token_variable}").format(
                    token_variable=TOKEN_VARIABLE
                )
                if status in (401, 403)
                else tr("check the URL and the attributes")
            )
            raise InputError(
                tr("{url} cannot be {what} (the server answers {status}); {remedy}.").format(
                    url=self.url, what=what, status=status, remedy=remedy
                )
            ) from error
        except requests.RequestException as error:
            raise InputError(
                tr(
                    "{url} does not answer ({error}); check the URL and whether the server runs."
                ).format(url=self.url, error=type(error).__name__)
            ) from error
        except (ValueError, KeyError, TypeError, AttributeError, EOFError, OSError) as error:
            raise InputError(
                tr("{url} cannot be {what} ({error}); check that it is a DICOMweb server.").format(
                    url=self.url, what=what, error=str(error)[:200] or type(error).__name__
                )
            ) from error


def find_studies_in_archive(
    url: str, modality: str | None = None, phase: str | None = None
) -> list[Study]:
    """All series of an archive that have the attributes in its URL.

    Raises:
        InputError: If there are none, or the archive cannot be searched.
    """
    archive = Archive(url)
    found = archive.series(modality or "CT")
    if not found:
        raise InputError(
            tr(
                "{url} has no {modality} series with these attributes: {filters}; change them."
            ).format(
                url=archive.url,
                modality=modality or "CT",
                filters=", ".join(archive.filters) or tr("none"),
            )
        )
    return [
        Study(
            f"{study}/{series}",
            Path(study, series),
            phase=phase,
            url=f"{archive.url}/studies/{study}/series/{series}",
        )
        for study, series in found
    ]


def archive_of(url: str) -> tuple[Archive, str, str]:
    """Archive, study and series of a study's URL."""
    match = _SERIES.fullmatch(url)
    if match is None:
        raise InputError(tr("{url} is no series of an archive.").format(url=url))
    return Archive(match[1]), match[2], match[3]


def _uid(item: dict[str, Any], tag: str) -> str:
    """A UID of an answer, which becomes part of a file's name."""
    value = str(item[tag]["Value"][0])
    if not _UID.fullmatch(value) or set(value) == {"."}:
        raise ValueError(tr("it names a series by what is no UID"))
    return value
