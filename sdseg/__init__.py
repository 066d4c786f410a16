"""SDSeg under the name of its distribution: `import sdseg` is `import SDSegLib`.

Both names give the same functions and classes. Modules inside the library have one name only, for
example `SDSegLib.errors`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import SDSegLib

if TYPE_CHECKING:
    from SDSegLib import *  # noqa: F403

__version__ = SDSegLib.__version__
__all__ = SDSegLib.__all__


if not TYPE_CHECKING:  # a type checker shall know what is not there

    def __getattr__(name: str) -> Any:
        if name not in SDSegLib.__all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(SDSegLib, name)


def __dir__() -> list[str]:
    return sorted(SDSegLib.__all__)
