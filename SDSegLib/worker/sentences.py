"""Error messages for failed runs: the cause and the remedy in one or two sentences."""

from __future__ import annotations

import sys

from ..language import tr
from ..processes.endings import exit_text, is_killed, is_memory_error

LESS_MEMORY = tr("Close other programs, choose a smaller batch, or crop the volume, and try again.")
INSTALL_TORCH = tr(
    "In 3D Slicer, install PyTorch with the extension PyTorch; elsewhere run: {python} -m pip "
    "install torch"
)
INSTALL_PACKAGE = tr(
    "In 3D Slicer, enter slicer.util.pip_install('{package}') in the Python console; elsewhere "
    "run: {python} -m pip install {package}"
)


def uncaught(error: BaseException, doing: str, importing: bool) -> tuple[str, str]:
    """Kind and sentence for an error that the worker did not expect.

    Args:
        error: What was raised.
        doing: The worker's current step, for example "loading the model".
        importing: Whether it was importing PyTorch.
    """
    said = f"{type(error).__name__}: {error}".splitlines()[0].strip().rstrip(".")
    if is_memory_error(error):
        return "memory", tr("Memory ran out while {doing} ({said}). {less_memory}").format(
            doing=doing, said=said, less_memory=LESS_MEMORY
        )
    advice = INSTALL_TORCH.format(python=sys.executable)
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.split(".")[0]
        if package != "torch":
            advice = INSTALL_PACKAGE.format(python=sys.executable, package=package)
        return "package", tr("The package '{package}' is missing in {executable}. {advice}").format(
            package=package, executable=sys.executable, advice=advice
        )
    if importing or isinstance(error, ImportError):
        return (
            "package",
            tr("PyTorch in {executable} does not work ({said}). Install it again. {advice}").format(
                executable=sys.executable, said=said, advice=advice
            ),
        )
    return (
        "internal",
        tr(
            "The worker failed while {doing} ({said}). Try again; if it comes back, report it "
            "with the log."
        ).format(doing=doing, said=said),
    )


def no_interpreter(python: str, reason: str) -> str:
    """The child's interpreter cannot be started."""
    if not python:
        return tr(
            "No Python interpreter was found for the worker ({program} is none). Name one; "
            "in 3D Slicer it is PythonSlicer."
        ).format(program=sys.executable or tr("the program"))
    return tr(
        "The Python interpreter {python} cannot be started ({reason}). Name a Python 3.10 "
        "or later that has PyTorch; in 3D Slicer it is PythonSlicer."
    ).format(python=python, reason=reason)


def ended(code: int | None, python: str, was_ready: bool, stderr: str) -> str:
    """The child ended in the middle of a run without a message."""
    said = next((line for line in reversed(stderr.splitlines()) if line.strip()), "").strip()
    quoted = f": {said.rstrip('.')}" if said else ""
    if is_killed(code, stderr):
        return tr(
            "The worker was killed from outside; systems do that when memory runs out. "
            "{less_memory}"
        ).format(less_memory=LESS_MEMORY)
    if not was_ready:
        return tr(
            "The worker did not start: {python} ended at once ({code}){quoted}. Check that "
            "it is a Python 3.10 or later with the packages that SDSeg needs."
        ).format(python=python, code=exit_text(code), quoted=quoted)
    return tr(
        "The worker ended unexpectedly ({code}){quoted}. Try again; if it comes back, "
        "choose another device or report it with the log."
    ).format(code=exit_text(code), quoted=quoted)


def silent(seconds: float) -> str:
    """The child did not answer."""
    return tr(
        "The worker gave no sign of life for {seconds:.0f} s and was ended. Try again; if "
        "it comes back, choose another device, for example cpu."
    ).format(seconds=seconds)


def other_protocol(theirs: object, ours: int) -> str:
    """Client and child are of different versions of the library."""
    return tr(
        "The worker speaks protocol {theirs}, this program protocol {ours}: SDSeg was "
        "updated while the program was running. Restart the program."
    ).format(theirs=theirs, ours=ours)


def no_shared_memory(size: int, reason: str) -> str:
    """The volume does not fit into shared memory."""
    container = tr(" In a container, give /dev/shm more room.") if sys.platform == "linux" else ""
    return tr(
        "There is not enough shared memory for the volume ({size:.0f} MiB: {reason}). "
        "{less_memory}{container}"
    ).format(size=size / 2**20, reason=reason, less_memory=LESS_MEMORY, container=container)


def no_memory_for_result(size: int) -> str:
    """The result does not fit into the application's memory."""
    return tr("There is no memory for the result ({size:.0f} MiB). {less_memory}").format(
        size=size / 2**20, less_memory=LESS_MEMORY
    )


def client_failed(reason: str) -> str:
    """The client's own thread ended, which is a defect."""
    return tr(
        "The run was lost by an error in the program ({reason}). Try again; if it comes "
        "back, report it with the log."
    ).format(reason=reason)
