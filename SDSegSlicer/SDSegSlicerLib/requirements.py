"""Python packages that the worker needs: which are missing, and how they are installed."""

import importlib.metadata
import importlib.util
import inspect
import logging
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from subprocess import CalledProcessError

import slicer
from slicer.i18n import tr as _

from SDSegLib.errors import SDSegError

from .background import childEnvironment, childPython

_CHECK_SECONDS = 300
_REQUESTER = "SDSeg"


@dataclass(frozen=True)
class Package:
    """A package of the Python package index.

    Attributes:
        requirement: Name and lowest version in pip's syntax.
        module: Name of its module for import.
        size: Approximate size of the download, as text.
    """

    requirement: str
    module: str
    size: str

    @property
    def name(self) -> str:
        return self.requirement.partition(">=")[0]

    @property
    def lowest(self) -> str:
        return self.requirement.partition(">=")[2]


TORCH = Package("torch>=2.5", "torch", _("0.2 GB without, 3 GB with CUDA, torchvision included"))
PACKAGES = (
    TORCH,
    Package("safetensors>=0.4", "safetensors", "0.5 MB"),
    Package("SimpleITK>=2.4", "SimpleITK", "50 MB"),
    Package("scipy>=1.11", "scipy", "35 MB"),
)
CASE_PACKAGES = (
    Package("filelock>=3.16", "filelock", "0.1 MB"),
    Package("nibabel>=5.2", "nibabel", "3 MB"),
    Package("SimpleITK>=2.4", "SimpleITK", "50 MB"),
)
TEACH_PACKAGES = (
    *PACKAGES,
    *CASE_PACKAGES[:2],
    Package("lightning>=2.4", "lightning", "1 MB"),
    Package("monai>=1.4", "monai", "2 MB"),
    Package("tensorboard>=2.15", "tensorboard", "6 MB"),
    Package("matplotlib>=3.8", "matplotlib", "9 MB"),
    Package("pillow>=10", "PIL", "7 MB"),
)
DICOM_PACKAGES = (Package("highdicom>=0.28", "highdicom", "1 MB"),)


def missingPackages(packages: tuple[Package, ...] = PACKAGES) -> list[Package]:
    """Packages that are not installed or too old; nothing is imported."""
    importlib.invalidate_caches()
    return [package for package in packages if not _isThere(package)]


def unsupportedReason() -> str:
    """Reason why SDSeg cannot compute on this computer, or ""."""
    if sys.platform == "darwin" and platform.machine() == "x86_64":
        return _(
            "Not supported: on macOS, 3D Slicer is built for Intel processors, and there is no "
            "current PyTorch for these. Use SDSeg on Windows or Linux, or its command line."
        )
    return ""


def install(packages: list[Package], wheelsFolder: str = "") -> None:
    """Install packages into 3D Slicer's Python, with 3D Slicer's own functions for it.

    Args:
        packages: The result of `missingPackages`.
        wheelsFolder: Folder with wheel files, for computers without a network.

    Raises:
        SDSegError: If the installation fails.
    """
    requirements = [package.requirement for package in packages]
    logging.info("SDSeg installs %s", ", ".join(requirements))
    try:
        if wheelsFolder:
            slicer.util.pip_install(["--no-index", "--find-links", wheelsFolder, *requirements])
            return
        if TORCH in packages and _installTorch():
            requirements.remove(TORCH.requirement)
        if requirements:
            _installRest(requirements)
    except (CalledProcessError, ImportError, RuntimeError, OSError) as error:
        raise SDSegError(
            _(
                "The packages were not installed: {reason}. The Python console shows what pip "
                "said. Behind a proxy or without a network, name a folder with wheel files."
            ).format(reason=str(error).rstrip("."))
        ) from error


def importProblem(packages: tuple[Package, ...] = PACKAGES) -> str:
    """Import packages in a child process; returns the error, or "". Takes seconds."""
    modules = ", ".join(package.module for package in packages)
    try:
        result = subprocess.run(
            [childPython(), "-c", f"import {modules}"],
            env=childEnvironment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_CHECK_SECONDS,
            check=False,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    lines = result.stderr.strip().splitlines()
    return "" if result.returncode == 0 else (lines[-1] if lines else _("no reason was given"))


def _installTorch() -> bool:
    """Install PyTorch by the PyTorch extension, which chooses the build for this computer's GPU."""
    try:
        from PyTorchUtils import PyTorchUtilsLogic
    except ImportError:
        logging.warning("The extension PyTorch is not installed; pip chooses the build of torch")
        return False
    try:
        with _notImported(TORCH.module):
            PyTorchUtilsLogic().installTorch(
                askConfirmation=False, torchVersionRequirement=f">={TORCH.lowest}"
            )
    except ModuleNotFoundError as error:
        if error.name != TORCH.module:
            raise
    return True


@contextmanager
def _notImported(module: str) -> Iterator[None]:
    """Prevent the import of a module in this process, unless it is imported already.

    The PyTorch extension imports the installed package as its last step; on Windows, files of an
    imported PyTorch cannot be replaced until 3D Slicer is restarted.
    """
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]  # an import raises ModuleNotFoundError
    try:
        yield
    finally:
        del sys.modules[module]


def _installRest(requirements: list[str]) -> None:
    try:
        from packaging.requirements import Requirement
        from slicer.packaging import pip_ensure
    except ImportError:  # before 5.12
        slicer.util.pip_install(requirements)
        return
    wanted = [Requirement(text) for text in requirements]
    quiet = {"prompt_install": False, "prompt_restart": False}
    known = inspect.signature(pip_ensure).parameters
    pip_ensure(
        wanted,
        requester=_REQUESTER,
        **{name: value for name, value in quiet.items() if name in known},
    )


def _isThere(package: Package) -> bool:
    try:
        if importlib.util.find_spec(package.module) is None:
            return False
        return _numbers(importlib.metadata.version(package.name)) >= _numbers(package.lowest)
    except importlib.metadata.PackageNotFoundError:
        return True  # built into 3D Slicer, without version information
    except (ImportError, ValueError):
        return False


def _numbers(version: str) -> tuple[int, ...]:
    """The first numbers of a version: "2.13.0+cpu" → (2, 13, 0)."""
    return tuple(int(text) for text in re.findall(r"\d+", version.partition("+")[0])[:3])
