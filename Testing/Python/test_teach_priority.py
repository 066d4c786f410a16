"""Teaching leaves the processor to what the user does meanwhile, unless it is told otherwise."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from SDSegLib.teaching.priority import PRIORITY_VARIABLE

SCRIPT = """
import os
from SDSegLib.teaching.priority import lower_priority
before = os.nice(0)
lower_priority()
print(os.nice(0) - before)
"""


@pytest.mark.skipif(not hasattr(os, "nice"), reason="POSIX")
@pytest.mark.parametrize(("value", "lowered"), [(None, True), ("", True), ("normal", False)])
def test_the_priority_is_lowered_unless_normal_is_asked_for(
    value: str | None, lowered: bool
) -> None:
    if os.nice(0) > 9:
        pytest.skip("the tests run at a low priority themselves")
    told = {key: text for key, text in os.environ.items() if key != PRIORITY_VARIABLE}
    if value is not None:
        told[PRIORITY_VARIABLE] = value
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=told)
    assert int(done.stdout) == (10 if lowered else 0)
