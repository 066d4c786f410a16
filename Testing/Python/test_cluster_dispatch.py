"""To which worker a study goes after it failed on one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from SDSegLib.cluster.dispatch import Ability, Dispatcher, _Try, _Worker


@pytest.fixture
def failed() -> tuple[Dispatcher[str], _Try[str]]:
    """A study that failed on the worker "full", beside another that has not answered yet."""
    client: Any = SimpleNamespace(scheduler=SimpleNamespace(address="tcp://127.0.0.1:1"))
    job: Any = None
    dispatcher = Dispatcher[str](client, job)
    dispatcher._workers = {"full": _Worker("full", Ability()), "late": _Worker("late")}
    one = _Try("study", failures=1, avoided="full")
    dispatcher._again.append(one)
    return dispatcher, one


def test_it_waits_for_a_worker_that_has_not_answered_yet(
    failed: tuple[Dispatcher[str], _Try[str]],
) -> None:
    dispatcher, one = failed
    assert dispatcher._next_for("full") is None
    assert dispatcher._next_for("late") is one


def test_it_goes_to_the_same_worker_if_no_other_can_be_used(
    failed: tuple[Dispatcher[str], _Try[str]],
) -> None:
    dispatcher, one = failed
    dispatcher._workers["late"].problem = "It has another version."
    assert dispatcher._next_for("full") is one
