"""Leave the processor to other programs while a model is taught."""

from __future__ import annotations

import os
import sys

PRIORITY_VARIABLE = "SDSEG_TEACH_PRIORITY"
"""Environment variable; with the value `normal` the priority is not lowered."""
_NICE = 10
_BELOW_NORMAL = 0x4000
"""BELOW_NORMAL_PRIORITY_CLASS of the Windows API."""


def lower_priority() -> None:
    """Lower the priority of this process; what the user does meanwhile goes first."""
    if os.environ.get(PRIORITY_VARIABLE) == "normal":
        return
    if sys.platform == "win32":
        import ctypes

        kernel = ctypes.windll.kernel32
        kernel.SetPriorityClass(kernel.GetCurrentProcess(), _BELOW_NORMAL)
    else:
        os.nice(_NICE)
