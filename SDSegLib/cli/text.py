"""Text of files and folders on the terminal: neither markup nor control characters take effect."""

from __future__ import annotations

from rich import markup

from ..untrusted import plain


def escape(text: str) -> str:
    """A text for rich's markup that is shown as it is; control characters appear as escapes."""
    return markup.escape(plain(text))
