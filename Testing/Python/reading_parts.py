"""What the tests of damaged files share: a file that ends the process that reads it."""

from __future__ import annotations

import os
from pathlib import Path

# A reader of images that crashes, as libraries do; other processes read the file unharmed.
_CRASHES = """
import os, sys

def crash(event, arguments):
    if event == "open" and str(arguments[0]).endswith(("crashes.nii.gz", "crashes.seg.nrrd")):
        os.kill(os.getpid(), 11)

if "SDSegLib.processes" in sys.orig_argv:
    sys.addaudithook(crash)
"""


def crashing_path(folder: Path) -> str:
    """A PYTHONPATH with which reading "…crashes.nii.gz" or "…crashes.seg.nrrd" crashes."""
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(_CRASHES, encoding="utf-8")
    return os.pathsep.join((str(folder), os.environ.get("PYTHONPATH", "")))
