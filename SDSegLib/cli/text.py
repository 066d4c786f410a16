"""Text of files and folders on the terminal: neither markup nor control characters take effect."""

from __future__ import annotations

from rich import markup

from ..untrusted import plain


def escape(text: str, kept: str = "") -> str:
    """A text for rich's markup that is shown as it is; control characters appear as escapes.

    Args:
        text: Any text.
        kept: Control characters that stay, such as line breaks.
    """
    return markup.escape(plain(text, kept))
