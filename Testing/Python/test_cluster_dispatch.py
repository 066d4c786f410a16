"""To which worker a study goes after it failed on one."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from SDSegLib.cluster.dispatch import Dispatcher, _Try, _Worker
from SDSegLib.cluster.work import Ability, Fate
from SDSegLib.errors import InputError


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


def test_it_does_not_wait_for_a_worker_that_never_answers(
    failed: tuple[Dispatcher[str], _Try[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    dispatcher, one = failed
    told: list[str] = []
    monkeypatch.setattr(dispatcher, "_tell", told.append)
    late = dispatcher._workers["late"]
    late.since -= 599
    dispatcher._find_late()
    assert dispatcher._next_for("full") is None
    late.since -= 2
    dispatcher._find_late()
    dispatcher._find_late()
    assert [text.partition(":")[0] for text in told] == [
        "The worker late has not answered for 600 s"
    ]
    assert dispatcher._next_for("full") is one


def test_the_table_names_the_worker_that_was_not_asked(
    failed: tuple[Dispatcher[str], _Try[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    dispatcher, one = failed
    one.reasons.append("full: its disk is full")
    dispatcher._workers["late"].is_late = True
    monkeypatch.setattr(
        dispatcher, "_job", SimpleNamespace(given_up=lambda item, reason: reason), raising=False
    )
    dispatcher._failed(one, "full", "its disk is full", alone=False)
    (_, reason), *_ = dispatcher._ready
    assert "not tried on late, which does not answer" in reason


class Watcher:
    """Knows of one worker why it is gone."""

    def __init__(self, fate: Fate | None) -> None:
        self.said = fate

    def look(self, idle: object) -> None:
        pass

    def fate(self, address: str) -> Fate | None:
        return self.said


@pytest.mark.parametrize(
    ("minutes", "fate", "failures", "cuts"),
    [
        (1, Fate(), 2, 0),  # it ended by itself: maybe by the study
        (1, Fate("its job 7 ended (TIMEOUT)", was_time=True), 1, 1),
        (55, Fate("its job 7 ended (TIMEOUT)", was_time=True), 2, 0),  # a whole job is too short
        (55, Fate("its job 7 ended (PREEMPTED)"), 1, 1),
    ],
)
def test_a_study_is_not_to_blame_for_the_end_of_its_job(
    failed: tuple[Dispatcher[str], _Try[str]],
    monkeypatch: pytest.MonkeyPatch,
    minutes: float,
    fate: Fate,
    failures: int,
    cuts: int,
) -> None:
    """The worker was there for an hour; the study was sent to it some minutes before its end."""
    dispatcher, one = failed
    dispatcher._again.clear()
    monkeypatch.setattr(
        dispatcher, "_job", SimpleNamespace(given_up=lambda item, reason: reason), raising=False
    )
    watcher = Watcher(None)
    dispatcher._watcher = watcher
    worker = dispatcher._workers.pop("full")
    worker.since = time.monotonic() - 3600
    one.sent = time.monotonic() - 60 * minutes
    worker.running[1] = one
    dispatcher._lose(worker)
    dispatcher._judge_lost(watcher)
    assert dispatcher._has_work()
    assert (one.failures, one.cuts) == (1, 0)  # nothing is known yet
    watcher.said = fate
    dispatcher._judge_lost(watcher)
    assert (one.failures, one.cuts) == (failures, cuts)
    assert not dispatcher._lost
    assert list(dispatcher._again) == ([one] if cuts else [])
    assert len(dispatcher._ready) == (not cuts)


def test_a_worker_that_ends_whenever_it_is_asked_is_not_asked_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its nanny restarts it at another port each time."""
    client: Any = SimpleNamespace(
        scheduler=SimpleNamespace(address="tcp://127.0.0.1:1"), status="running"
    )
    job: Any = SimpleNamespace(asked=lambda share: share, look=None, patience=None)
    dispatcher = Dispatcher[str](client, job)
    asked: list[str] = []
    monkeypatch.setattr(
        dispatcher._tasks, "submit", lambda address, *more: (asked.append(address), 1)[1]
    )

    def look_as_it_restarts() -> None:
        for port in range(4000, 4050):
            monkeypatch.setattr(dispatcher, "_present", lambda at=f"tcp://10.0.0.7:{port}": {at})
            dispatcher._next_look = 0.0
            dispatcher._look()

    with pytest.raises(InputError, match=r"at 10\.0\.0\.7 ended 5 times in a row before"):
        look_as_it_restarts()
    assert len(asked) == 5


def test_the_list_in_the_diagnostics_of_dask_is_cut() -> None:
    """A line for each task would stay in the scheduler's memory for ever."""
    pytest.importorskip("distributed", reason='needs distributed: pip install "sdseg[cluster]"')
    from distributed import Client, LocalCluster

    from SDSegLib.cluster import tasks

    class Job:
        patience = None
        look = work = staticmethod(lambda *_: 0)
        asked = staticmethod(lambda share: None)
        judge = staticmethod(lambda address, facts: Ability())
        arguments = staticmethod(lambda item, ability: ())
        problem = staticmethod(lambda answer: "")

    def lines(dask_scheduler: Any) -> int:
        spans = dask_scheduler.extensions["spans"].spans.values()
        return max(len(span.metadata["collections"]) for span in spans)

    with (
        pytest.MonkeyPatch.context() as patch,
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        patch.setattr(tasks, "_TIDY_EVERY", 20)
        assert len(list(Dispatcher(client, Job()).answers(range(60)))) == 60
        assert client.run_on_scheduler(lines) < 25
