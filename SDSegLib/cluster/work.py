"""What a dispatcher is told: the work, what workers can do, and why they are gone."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

Item = TypeVar("Item")
ItemOf = TypeVar("ItemOf", contravariant=True)
Tell = Callable[[str], None]
"""Receives sentences for the user."""
Hope = Callable[[int, float], str]
"""Called with the number of workers that are there, and the seconds for which none of them could be
used; a sentence if others may still come, or "".
"""


@dataclass(frozen=True)
class Ability:
    """What a worker process can do.

    Attributes:
        problem: Why it is not used, or "".
        at_a_time: Items that it has in work at a time.
        gpus: Amount of the resource "GPU" that it was started with.
        facts: For `Job.arguments`.
    """

    problem: str = ""
    at_a_time: int = 1
    gpus: float = 0.0
    facts: Any = None


class Job(Protocol[ItemOf]):
    """The work on every item. The functions are called in the worker, the methods here.

    Attributes:
        patience: Seconds to wait while there is no worker; None to wait for ever.
    """

    patience: float | None

    @property
    def look(self) -> Callable[[Any], Any]:
        """Called once in each worker process, with the result of `asked`."""

    @property
    def work(self) -> Callable[..., Any]:
        """Called with the result of `arguments`."""

    def asked(self, share: int) -> Any:
        """The argument of `look`, for a machine that `share` workers share."""

    def judge(self, address: str, facts: Any) -> Ability:
        """What a worker can do, from the result of `look` or the error that it raised."""

    def arguments(self, item: ItemOf, ability: Ability) -> tuple[Any, ...]:
        """The arguments of `work` for an item."""

    def problem(self, answer: Any) -> str:
        """Why another worker should try again, from the result of `work`; or ""."""

    def given_up(self, item: ItemOf, reason: str) -> Any:
        """The answer for an item that was set aside."""


@dataclass(frozen=True)
class Fate:
    """Why a worker is gone.

    Attributes:
        reason: A sentence's part if that has nothing to do with its items, or "" if it ended by
            itself.
        was_time: Whether it reached its limit of time, which an item that is too long always does.
    """

    reason: str = ""
    was_time: bool = False


class Watcher(Protocol):
    """Looks after the jobs in which workers run."""

    def look(self, idle: Collection[str]) -> None:
        """Called about every second with the addresses of workers that have nothing to do.

        Raises:
            InputError: If no worker will come.
        """

    def fate(self, address: str) -> Fate | None:
        """Why a worker is gone; None as long as that is not known."""
