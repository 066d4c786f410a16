"""Structures as they are typed: names or ids, with commas."""

from __future__ import annotations

from ..errors import InputError


def structure_names(text: str) -> list[str]:
    """The entries of a list with commas.

    Raises:
        InputError: If there is none.
    """
    names = [name for name in text.split(",") if name.strip()]
    if not names:
        raise InputError(f"--classes {text!r} names no structure; leave it out for all of them.")
    return names
