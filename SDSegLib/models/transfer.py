"""One file over HTTP, verified by its SHA-256; continued where an earlier transfer ended.

It opens a connection when the user asks for a model to be downloaded, and sends nothing but the
request for the file. Proxies of the environment or the system are used (`HTTPS_PROXY`,
`HTTP_PROXY`, `NO_PROXY`).
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.client
import re
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit, urlunsplit

from ..errors import ModelError, OutputError
from ..language import tr
from ..locked import locked
from ..untrusted import LARGEST_JSON_BYTES, plain, shown
from ..version import VERSION

SECONDS_WITHOUT_DATA = 30.0
MOST_INTERRUPTIONS = 5
DAYS_KEPT = 14
"""For which a part of a file waits for the download to be continued."""
_BLOCK = 1 << 18
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
# What a connection that is cut ends with; OSError holds those of sockets, TLS and time limits.
_CUT = (http.client.HTTPException, OSError)
Report = Callable[[int, int], None]
"""Called with the bytes that have arrived and the size of the file."""


class _InterruptedError(Exception):
    """The connection ended before the file was complete."""


class _OtherPartError(http.client.HTTPException):
    """The server sent another part than was asked for; only the whole file is of use then."""


class _OnlySafer(urllib.request.HTTPRedirectHandler):
    """Redirections that do not lead from an encrypted connection to a plain one."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if urlsplit(newurl).scheme not in {"https", urlsplit(req.full_url).scheme}:
            raise ModelError(
                tr(
                    "{url} leads on to the address {target}, which is not encrypted; it is "
                    "not followed."
                ).format(url=shown_url(req.full_url), target=shown_url(newurl))
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def is_url(text: str) -> bool:
    """Whether a text is an address for HTTP."""
    return urlsplit(text).scheme in ("http", "https")


def shown_url(url: str) -> str:
    """An address without user name, password, query and control characters, for messages."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return plain(urlunsplit((parts.scheme, host, parts.path, "", "")))


def fetch_text(url: str, largest: int = LARGEST_JSON_BYTES) -> bytes:
    """A small file.

    Raises:
        ModelError: If it cannot be fetched or is larger than `largest` bytes.
    """
    try:
        with _opened(url, 0) as response:
            content: bytes = response.read(largest + 1)
    except _CUT as error:
        raise _unreachable(url, error) from error
    if len(content) > largest:
        raise ModelError(
            tr("{url} is larger than {largest} MB; it is no index.").format(
                url=shown_url(url), largest=largest // 2**20
            )
        )
    return content


def fetch_file(
    url: str,
    sha256: str,
    folder: Path,
    size: int | None,
    largest: int,
    report: Report = lambda done, size: None,
) -> Path:
    """Download a file into a folder, or finish an earlier download of it.

    What has arrived is kept if the connection ends, and the next call continues. Connections that
    are cut are opened again a few times. Parts of other files to which nothing was added for
    `DAYS_KEPT` days are removed.

    Args:
        url: Address with http or https.
        sha256: Digest of the file, in hexadecimal.
        folder: Folder for the file, which is named for the digest.
        size: Bytes of the file; None if it is not known.
        largest: Most bytes that are taken if the size is not known.
        report: Called as the file arrives.

    Returns:
        The path of the complete file; the caller moves or removes it.

    Raises:
        ModelError: If it cannot be fetched, or is not the file with this digest.
        OutputError: If the disk has no space for it, or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_written(folder, error) from error
    path = folder / f"{sha256[:32]}.part"
    _remove_given_up(folder)
    with locked(path):
        _refuse_full_disk(path, size)
        for left in reversed(range(MOST_INTERRUPTIONS + 1)):
            before = _length(path)
            try:
                _continue(url, path, size, largest, report)
                break
            except _InterruptedError as error:
                if not left or _length(path) == before:
                    raise _interrupted(url, path, size, error.__cause__) from error
        _verify(path, sha256, url)
    return path


def _remove_given_up(folder: Path) -> None:
    oldest = time.time() - DAYS_KEPT * 24 * 3600
    for part in folder.glob("*.part"):
        with contextlib.suppress(OSError):
            if part.stat().st_mtime < oldest:
                part.unlink()


def _continue(url: str, path: Path, size: int | None, largest: int, report: Report) -> None:
    """Append what is missing; begin anew where the server cannot continue."""
    begin = _length(path)
    if size is not None and begin == size:
        return
    try:
        with _opened(url, begin) as response:
            begin, total = _extent(response, begin)
            expected = size if size is not None else total
            if total is not None and size is not None and total != size:
                raise ModelError(
                    tr(
                        "{url} has {total:,} bytes, and the index says {size:,}; ask its owner "
                        "which is right."
                    ).format(url=shown_url(url), total=total, size=size)
                )
            _receive(response, path, begin, expected, largest, report, url)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and begin:
            path.unlink()  # what is there is not the beginning of this file
            raise _InterruptedError from error
        raise _refused(url, error) from error
    except _OtherPartError as error:
        path.unlink()
        raise _InterruptedError from error
    except _CUT as error:
        if isinstance(error, urllib.error.URLError):
            raise _unreachable(url, error) from error
        raise _InterruptedError from error


def _receive(
    response: IO[bytes],
    path: Path,
    begin: int,
    expected: int | None,
    largest: int,
    report: Report,
    url: str,
) -> None:
    limit = largest if expected is None else expected
    if limit > largest:
        raise ModelError(
            tr("{url} has {limit:,} bytes; models have at most {largest:,}.").format(
                url=shown_url(url), limit=limit, largest=largest
            )
        )
    done = begin
    with _on_disk(path):
        file = path.open("ab")
        file.truncate(begin)
    with file:
        while block := response.read(_BLOCK):
            done += len(block)
            if done > limit:
                raise ModelError(
                    tr("{url} is longer than the {limit:,} bytes it should have.").format(
                        url=shown_url(url), limit=limit
                    )
                )
            with _on_disk(path):
                file.write(block)
                file.flush()
            report(done, limit if expected is not None else done)
    if expected is not None and done < expected:
        raise http.client.IncompleteRead(b"", expected - done)


@contextmanager
def _on_disk(path: Path) -> Iterator[None]:
    """Tells errors of the disk from errors of the connection, which are OSError as well."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            path.unlink(missing_ok=True)  # a full disk hinders other programs
        raise _not_written(path.parent, error) from error


def _opened(url: str, begin: int) -> http.client.HTTPResponse:
    if "@" in urlsplit(url).netloc:
        raise ModelError(
            tr("{url} was given with a user name, which is not sent.").format(url=shown_url(url))
        )
    headers = {"User-Agent": f"sdseg/{VERSION}", "Accept-Encoding": "identity"}
    if begin:
        headers["Range"] = f"bytes={begin}-"
    opener = urllib.request.build_opener(_OnlySafer)
    try:
        request = urllib.request.Request(url, headers=headers)
        response: http.client.HTTPResponse = opener.open(request, timeout=SECONDS_WITHOUT_DATA)
    except (ValueError, http.client.InvalidURL) as error:
        raise ModelError(
            tr("{url} is no address; check how it is written.").format(url=shown_url(url))
        ) from error
    return response


def _extent(response: http.client.HTTPResponse, begin: int) -> tuple[int, int | None]:
    """The byte that the answer begins with, and the size of the whole file if it is told."""
    length = response.headers.get("Content-Length", "")
    if response.status != http.HTTPStatus.PARTIAL_CONTENT:
        return 0, int(length) if length.isdecimal() else None
    match = _RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    if match is None or int(match[1]) != begin:
        raise _OtherPartError(tr("the server sent another part than was asked for"))
    return begin, None if match[2] == "*" else int(match[2])


def _verify(path: Path, sha256: str, url: str) -> None:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != sha256:
        path.unlink()
        raise ModelError(
            tr(
                "{url} is not the file that was expected: its SHA-256 is {sha256}, it should be "
                "{expected}. Nothing was installed; ask its owner."
            ).format(url=shown_url(url), sha256=digest.hexdigest(), expected=sha256)
        )


def _refuse_full_disk(path: Path, size: int | None) -> None:
    """A download that cannot fit is not begun. The model is unpacked beside the file."""
    if size is None:
        return
    needed = 2 * size - _length(path)
    free = shutil.disk_usage(path.parent).free
    if free < needed:
        raise OutputError(
            tr(
                "The model needs {needed:,.0f} MB on the disk of {path}, and {free:,.0f} MB are "
                "free; free space, or choose another folder with the environment variable "
                "SDSEG_MODELS."
            ).format(needed=needed / 1000000.0, path=path.parent, free=free / 1000000.0)
        )


def _length(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _not_written(folder: Path, error: OSError) -> OutputError:
    return OutputError(
        tr(
            "The download cannot be written to {folder} ({reason}); free space on its disk, or "
            "choose another folder with the environment variable SDSEG_MODELS."
        ).format(folder=folder, reason=error.strerror or error)
    )


def _interrupted(url: str, path: Path, size: int | None, error: BaseException | None) -> ModelError:
    of = tr(" of {size:,.1f}").format(size=size / 1000000.0) if size is not None else ""
    return ModelError(
        tr(
            "The connection to {url} ended ({error}) after {path:,.1f}{of} MB, which are kept; "
            "the same command continues."
        ).format(url=_host(url), error=_reason(error), path=_length(path) / 1000000.0, of=of)
    )


def _refused(url: str, error: urllib.error.HTTPError) -> ModelError:
    return ModelError(
        tr(
            "{url} cannot be fetched: {url_host} answers {code} ({name}); check the address."
        ).format(
            url=shown_url(url), url_host=_host(url), code=error.code, name=plain(str(error.reason))
        )
    )


def _unreachable(url: str, error: BaseException) -> ModelError:
    if isinstance(error, urllib.error.HTTPError):
        return _refused(url, error)
    proxies = urllib.request.getproxies()
    scheme = urlsplit(url).scheme
    is_direct = scheme not in proxies or urllib.request.proxy_bypass(urlsplit(url).netloc)
    way = (
        tr("directly")
        if is_direct
        else tr("through the proxy {proxy}").format(proxy=shown_url(proxies[scheme]))
    )
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, ssl.SSLCertVerificationError):
        advice = tr(
            "its certificate is not trusted; if your network has a certificate authority of its "
            "own, name its file in the environment variable SSL_CERT_FILE"
        )
    else:
        advice = tr(
            "{reason}; check the network, or the proxy in HTTPS_PROXY. Without a network, "
            "fetch the model's file elsewhere and install the file"
        ).format(reason=_reason(reason))
    return ModelError(
        tr("{url} cannot be reached {way}: {advice}.").format(
            url=_host(url), way=way, advice=advice
        )
    )


def _reason(error: object) -> str:
    if isinstance(error, TimeoutError):
        return tr("no answer within {seconds_without_data:.0f} s").format(
            seconds_without_data=SECONDS_WITHOUT_DATA
        )
    if isinstance(error, http.client.IncompleteRead):
        return tr("cut short")
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return plain(str(error)) if str(error or "") else tr("without a reason")


def _host(url: str) -> str:
    return plain(urlsplit(url).netloc.rpartition("@")[2]) or shown(url)
