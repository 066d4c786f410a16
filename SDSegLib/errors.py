"""Errors that a user can act on: one sentence with the value at fault and what to do."""

from .language import tr

EXIT_CANCELLED = 130
"""Exit code of a command that the user stopped."""


class SDSegError(Exception):
    """An error that the user can correct. The command line prints it and exits with code 2."""


class InputError(SDSegError):
    """An input image, folder or argument cannot be used."""


class OutputError(SDSegError):
    """A result cannot be written to the requested place."""


class ModelError(SDSegError):
    """A model folder, checkpoint or description is missing, damaged or wrong."""


class MissingPackageError(SDSegError):
    """The request needs an optional package that is not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            tr(
                "{purpose} needs the package '{package}', which is not installed; install it "
                'with: pip install "sdseg[{extra}]"'
            ).format(purpose=purpose, package=package, extra=extra)
        )


class CancelledError(SDSegError):
    """The user asked to stop; nothing was written."""
