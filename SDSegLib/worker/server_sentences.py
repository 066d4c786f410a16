"""Error messages about a server: the cause and the remedy in one or two sentences."""

from __future__ import annotations

import socket
import ssl

from ..errors import SDSegError
from ..language import tr

_EXPIRED, _NOT_YET = 10, 9  # OpenSSL's numbers of what is wrong with a certificate
_WRONG_HOST = (62, 64)  # name, number


def cannot_connect(place: str, error: Exception) -> str:
    """No connection came about."""
    if isinstance(error, SDSegError):
        return str(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return _certificate(place, error)
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or tr("no reason given")).replace("_", " ").lower()
        if "certificate required" in reason or "unknown ca" in reason:
            return tr(
                "The server {place} asks for a certificate of this computer and did not "
                "accept one. Name it in the server's address: certificate=FILE, a PEM file "
                "with its key."
            ).format(place=place)
        return tr(
            "No secure connection to the server {place} ({reason}). Check that the port is "
            "that of sdseg serve."
        ).format(place=place, reason=reason)
    if isinstance(error, socket.gaierror):
        return tr(
            "The server {place} was not found: its name is unknown. Check the address."
        ).format(place=place)
    if isinstance(error, ConnectionRefusedError):
        return tr(
            "The server {place} does not answer: nothing listens there. Start sdseg serve "
            "on it, or check the port."
        ).format(place=place)
    said = getattr(error, "strerror", None) or str(error) or tr("no answer")
    return tr(
        "The server {place} cannot be reached ({said}). Check the network and the address."
    ).format(place=place, said=said.rstrip("."))


def other_certificate(place: str, expected: str, shown: str) -> str:
    """The certificate is not the one whose fingerprint is in the address."""
    if not shown:
        return tr("The server {place} has shown no certificate; nothing was sent.").format(
            place=place
        )
    return tr(
        "The server {place} has another certificate (sha256 {shown}…) than its address says "
        "({expected}…); nothing was sent. If the server has a new one, take the new address "
        "from its administrator."
    ).format(place=place, shown=shown[:16], expected=expected[:16])


def other_wire(place: str, theirs: object, ours: int) -> str:
    """The two sides do not understand each other."""
    return tr(
        "The server {place} speaks version {theirs} of the connection, this SDSeg version "
        "{ours}; install the same SDSeg on both."
    ).format(place=place, theirs=theirs, ours=ours)


def other_version(place: str, theirs: object, ours: str) -> str:
    """Results could differ from those of this computer."""
    return tr(
        "The server {place} has SDSeg {theirs}, this computer SDSeg {ours}, so results "
        "could differ; install the same version on both."
    ).format(place=place, theirs=theirs, ours=ours)


def no_server(place: str) -> str:
    """Something else answers there."""
    return tr("What answers at {place} is no server of SDSeg; check host and port.").format(
        place=place
    )


def refused(place: str, reason: str) -> str:
    """The server said no."""
    return tr("The server {place} says: {reason}").format(place=place, reason=reason)


def lost(place: str, was_ready: bool) -> str:
    """The connection ended in the middle of a run."""
    if not was_ready:
        return tr("The server {place} closed the connection before it said hello.").format(
            place=place
        )
    return tr(
        "The connection to the server {place} was lost: the server has ended, or the "
        "network was interrupted. Try again."
    ).format(place=place)


def silent(place: str, seconds: float) -> str:
    """The server gave no sign of life."""
    return tr(
        "The server {place} gave no sign of life for {seconds:.0f} s, so the connection was "
        "ended. Try again."
    ).format(place=place, seconds=seconds)


def _certificate(place: str, error: ssl.SSLCertVerificationError) -> str:
    code = error.verify_code
    if code == _EXPIRED:
        return tr(
            "The certificate of the server {place} has expired; nothing was sent. Its "
            "administrator makes a new one with sdseg serve --make-certificate."
        ).format(place=place)
    if code == _NOT_YET:
        return tr(
            "The certificate of the server {place} is not valid yet; nothing was sent. "
            "Check the clocks of both computers."
        ).format(place=place)
    if code in _WRONG_HOST:
        return tr(
            "The certificate of the server {place} is for another host; nothing was sent. "
            "Use the name that it is made for, or add its fingerprint to the address: "
            "?sha256=…"
        ).format(place=place)
    return tr(
        "The certificate of the server {place} is not trusted ({verify_message}); nothing "
        "was sent. Add its fingerprint to the address (?sha256=…, which sdseg serve "
        "prints), or its issuer (?issuer=FILE)."
    ).format(place=place, verify_message=error.verify_message)
