"""Values made once for all threads, when they are first asked for."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Once(Generic[K, V]):
    """Values by key. Threads that ask for one that is being made wait for it."""

    def __init__(self, kept: int | None = None):
        """Begins empty.

        Args:
          kept: how many values stay, those last asked for; None: all. One that is being
            made stays until it is there, so that nothing is made twice at a time.
        """
        self._kept = kept
        self._values: OrderedDict[K, Future[V]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: K, make: Callable[[], V]) -> V:
        """Returns the value of `key`, made by the first thread that asks for it.

        What `make` raises is raised in every thread that waits; the next tries anew.
        """
        with self._lock:
            value = self._values.get(key)
            made_here = value is None
            if value is None:
                value = self._values[key] = Future()
            self._values.move_to_end(key)
            self._drop_oldest()
        if made_here:
            try:
                value.set_result(make())
                with self._lock:
                    self._drop_oldest()
            except BaseException as error:
                with self._lock:
                    if self._values.get(key) is value:
                        del self._values[key]
                value.set_exception(error)
        return value.result()

    def _drop_oldest(self) -> None:
        """Drops values that are there, until no more than `kept` are held."""
        if self._kept is None:
            return
        surplus = len(self._values) - self._kept
        there = (key for key, value in self._values.items() if value.done())
        for key in [key for _, key in zip(range(surplus), there, strict=False)]:
            del self._values[key]
