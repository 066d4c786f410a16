"""slicer.packaging and pip: nothing is installed, everything is recorded."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import slicer
from packaging.requirements import Requirement

from .strict import StrictModule


@dataclass
class PipRecorder:
    """What was asked of pip.

    Attributes:
        installed: Arguments of each call of `pip_install`.
        ensured: Requirements of each call of `pip_ensure`.
        answer: What the user says to the prompt of `pip_ensure`.
        makes: Called by an installation, to make packages appear; None lets it change nothing.
        missing: Names of packages that shall count as not installed.
    """

    installed: list[Any] = field(default_factory=list)
    ensured: list[list[str]] = field(default_factory=list)
    answer: bool = True
    makes: Any = None
    missing: set[str] = field(default_factory=set)

    def install(self, requirements: Any, **options: Any) -> None:
        if not isinstance(requirements, str | list):
            raise ValueError("pip_install wants text or a list of texts")
        known = {"blocking", "show_progress", "requester", "constraints", "no_deps_requirements",
                 "skip_packages", "logCallback", "completedCallback", "parent"}  # fmt: skip
        if set(options) - known:
            raise TypeError(f"pip_install has no argument {sorted(set(options) - known)}")
        self.installed.append(requirements)
        if self.makes is not None:
            self.makes(requirements)

    def check(self, req: Any) -> bool:
        return all(self._is_there(item) for item in _requirements(req))

    def ensure(
        self,
        requirements: Any,
        constraints: Any = None,
        skip_packages: list[str] | None = None,
        prompt_install: bool = True,
        prompt_restart: bool = True,
        requester: str | None = None,
        skip_in_testing: bool = True,
        show_progress: bool = True,
    ) -> list[str] | None:
        wanted = _requirements(requirements)
        self.ensured.append([str(item) for item in wanted])
        if skip_in_testing and slicer.app.testingEnabled():
            return None
        missing = [str(item) for item in wanted if not self._is_there(item)]
        if not missing:
            return None
        if prompt_install and not self.answer:
            raise RuntimeError("User declined package installation")
        self.install(missing)
        return None

    def _is_there(self, item: Requirement) -> bool:
        if item.marker is not None and not item.marker.evaluate():
            return True
        if item.name in self.missing:
            return False
        try:
            return metadata.version(item.name) in item.specifier
        except metadata.PackageNotFoundError:
            return False


def make_packaging(recorder: PipRecorder) -> StrictModule:
    """The module `slicer.packaging` of 5.12 and later."""
    module = StrictModule("slicer.packaging")
    module.pip_install = recorder.install
    module.pip_check = recorder.check
    module.pip_ensure = recorder.ensure
    module.load_requirements = _load
    module.isPipInstallInProgress = lambda: False
    return module


def _load(path: str | Path) -> list[Requirement]:
    lines = (line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines())
    return [Requirement(line) for line in lines if line and line[0] not in "#-"]


def _requirements(given: Any) -> list[Requirement]:
    if isinstance(given, Requirement):
        return [given]
    if isinstance(given, str):
        parts = [given] if ";" in given else given.split()
        return [Requirement(part) for part in parts]
    if isinstance(given, list):
        return [Requirement(item) if isinstance(item, str) else item for item in given]
    raise TypeError(f"Expected str, Requirement, or list, got {type(given).__name__}")
