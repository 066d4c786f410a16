"""Whether the packages for training are installed."""

from __future__ import annotations

import importlib.util

from ..errors import MissingPackageError

_PACKAGES = ("lightning", "monai", "tensorboard")
_EXTRA, _PURPOSE = "train", "Training"


def require_training() -> None:
    """Check that the packages for training are installed.

    Raises:
        MissingPackageError: If one is missing.
    """
    try:
        import lightning.pytorch  # noqa: F401
        import monai  # noqa: F401
        import tensorboard  # noqa: F401
    except ImportError as error:
        raise MissingPackageError(error.name or "lightning", _EXTRA, _PURPOSE) from error


def find_training() -> None:
    """As `require_training`, without loading them: for programs that do not load PyTorch.

    Raises:
        MissingPackageError: If one is missing.
    """
    for name in _PACKAGES:
        if importlib.util.find_spec(name) is None:
            raise MissingPackageError(name, _EXTRA, _PURPOSE)
