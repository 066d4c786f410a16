"""Where a server is, and by what it is recognised: one text that can be copied and kept."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from ..errors import InputError
from ..language import tr
from ..untrusted import is_plain

SCHEME = "sdsegs"
DEFAULT_PORT = 8743
LEAVES = tr("the voxels of the CT and its geometry; no names, dates or UIDs")
"""What is sent to a server, for the place where a user decides it."""
LEAVES_WITH_MASK = tr("the voxels of the CT, its geometry and the mask; no names, dates or UIDs")
"""The same for an operation that carries a mask."""
LONGEST_TOKEN = 512
"""In characters."""
EXAMPLE = "sdsegs://gpu.example.org:8743?sha256=…"
_HOST = re.compile(r"[A-Za-z0-9._:-]{1,255}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class ServerAddress:
    """Address of a server: `sdsegs://HOST:PORT?sha256=FINGERPRINT`.

    Attributes:
        host: Name or number.
        port: TCP port.
        sha256: Fingerprint of its certificate, 64 hexadecimal digits; "" to check the certificate
            by its issuer and the host's name.
        issuer: PEM file with the certificates of issuers to trust; None for the system's.
        certificate: PEM file with a certificate and key of this computer, if the server asks for
            one.
    """

    host: str
    port: int = DEFAULT_PORT
    sha256: str = ""
    issuer: Path | None = None
    certificate: Path | None = None

    @classmethod
    def parse(cls, text: str) -> ServerAddress:
        """Read an address; see `__str__`.

        Raises:
            InputError: Saying what is wrong. The text itself is not quoted: somebody may have
                put a secret into it.
        """
        text = text.strip()
        try:
            parts = urlsplit(text if "://" in text else f"{SCHEME}://{text}")
            port = parts.port
            given = parse_qsl(parts.query, strict_parsing=bool(parts.query))
        except ValueError:
            raise InputError(
                tr("The address of the server is none; {form}.").format(form=_FORM)
            ) from None
        if parts.username is not None or parts.password is not None:
            raise InputError(
                tr(
                    "The address of the server holds a user or a token, which others could see in "
                    "the list of processes; give the token separately, and the address without it."
                )
            )
        host, entries = parts.hostname or "", dict(given)
        if parts.scheme != SCHEME or not _HOST.fullmatch(host) or port == 0:
            raise InputError(tr("The address of the server is none; {form}.").format(form=_FORM))
        if parts.path.strip("/") or parts.fragment or len(entries) < len(given):
            raise InputError(
                tr("The address of the server has parts that it cannot have; {form}.").format(
                    form=_FORM
                )
            )
        unknown = set(entries) - {"sha256", "issuer", "certificate"}
        if unknown:
            raise InputError(
                tr(
                    "The address of the server has an unknown entry; sha256, issuer and "
                    "certificate are possible, and no token."
                )
            )
        if not all(is_plain(value) for value in entries.values()):
            raise InputError(
                tr("The address of the server holds control characters; type it anew.")
            )
        sha256 = entries.get("sha256", "").replace(":", "").lower()
        if sha256 and not _SHA256.fullmatch(sha256):
            raise InputError(
                tr(
                    "The fingerprint sha256 in the server's address has {count} characters; it "
                    "is 64 hexadecimal digits, as sdseg serve prints it."
                ).format(count=len(sha256))
            )
        return cls(
            host,
            port or DEFAULT_PORT,
            sha256,
            _path(entries.get("issuer")),
            _path(entries.get("certificate")),
        )

    @property
    def place(self) -> str:
        """Host and port, for messages."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def __str__(self) -> str:
        entries = {
            "sha256": self.sha256,
            "issuer": "" if self.issuer is None else str(self.issuer),
            "certificate": "" if self.certificate is None else str(self.certificate),
        }
        query = urlencode({key: item for key, item in entries.items() if item}, quote_via=quote)
        return f"{SCHEME}://{self.place}" + (f"?{query}" if query else "")


_FORM = tr("it looks like {example}").format(example=EXAMPLE)


def _path(text: str | None) -> Path | None:
    return Path(text).expanduser() if text else None
