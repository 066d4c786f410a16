"""Errors that a user can act on: one sentence with the value at fault and what to do."""


class SDSegError(Exception):
    """Something the user can mend. The command line prints it and exits with code 2."""


class InputError(SDSegError):
    """The image, folder or argument that came in cannot be used."""


class OutputError(SDSegError):
    """A result cannot be written where it was asked for."""


class ModelError(SDSegError):
    """A model folder, checkpoint or description is missing, damaged or not what it claims."""


class MissingPackageError(SDSegError):
    """An optional package is needed for what was asked."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package '{package}', which is not installed; "
            f'install it with: pip install "sdseg[{extra}]"'
        )


class CancelledError(SDSegError):
    """The user asked to stop; nothing was written."""
