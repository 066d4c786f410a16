"""Whose turn it is: clients by turns, each with its own requests in their order."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Turns(Generic[Item]):
    """A queue in which no client waits for more than one request of each other client.

    A client that asks for a hundred runs at once gets its second turn after all others that wait
    have had their first one.
    """

    def __init__(self) -> None:
        self._waiting: OrderedDict[Hashable, deque[Item]] = OrderedDict()
        self._changed = threading.Condition()
        self._is_closed = False

    def put(self, client: Hashable, item: Item) -> None:
        """Add a request of a client."""
        with self._changed:
            self._waiting.setdefault(client, deque()).append(item)
            self._changed.notify()

    def take(self, seconds: float) -> Item | None:
        """The next request; None if there is none for so long, or after `close` or `wake`."""
        end = time.monotonic() + seconds
        with self._changed:
            if not self._waiting and not self._is_closed:
                self._changed.wait(max(0.0, end - time.monotonic()))
            if not self._waiting or self._is_closed:
                return None
            client, items = self._waiting.popitem(last=False)
            item = items.popleft()
            if items:
                self._waiting[client] = items  # behind all others
            return item

    def remove(self, item: Item) -> bool:
        """Take a request out; returns whether it was still waiting."""
        with self._changed:
            for client, items in self._waiting.items():
                if item in items:
                    items.remove(item)
                    if not items:
                        del self._waiting[client]
                    return True
        return False

    def order(self) -> list[Item]:
        """All waiting requests in the order in which they will be taken."""
        with self._changed:
            queues = [list(items) for items in self._waiting.values()]
        longest = max(map(len, queues), default=0)
        return [items[turn] for turn in range(longest) for items in queues if turn < len(items)]

    def wake(self) -> None:
        """Let all who wait in `take` look around."""
        with self._changed:
            self._changed.notify_all()

    def close(self) -> list[Item]:
        """Nothing is given out any more; returns what waits."""
        left = self.order()
        with self._changed:
            self._is_closed = True
            self._waiting.clear()
            self._changed.notify_all()
        return left
