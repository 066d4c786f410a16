"""Memory of this process."""

from __future__ import annotations

import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def resident() -> int | None:
    """Bytes now in memory; None where the system does not say."""
    return _line("VmRSS")


def reset_peak() -> bool:
    """Forget the highest value so far; False where the system cannot."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def peak() -> int | None:
    """Most bytes in memory since the start or `reset_peak`; None where the system does not say."""
    highest = _line("VmHWM")
    if highest is not None or sys.platform == "win32":
        return highest
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _line(name: str) -> int | None:
    try:
        for line in _STATUS.read_text(encoding="ascii").splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None
