"""Values made once for all threads."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from mtmoe.data.ground.once import Once


def test_threads_that_ask_together_get_the_one_value():
    once: Once[str, object] = Once()
    made, all_asked = [], threading.Event()

    def make() -> object:
        made.append(object())
        assert all_asked.wait(10)
        return made[-1]

    with ThreadPoolExecutor(8) as pool:
        values = [pool.submit(once.get, "key", make) for _ in range(8)]
        assert once.get("other", lambda: "not held up") == "not held up"
        all_asked.set()
        assert {id(value.result()) for value in values} == {id(made[0])}
    assert len(made) == 1


def test_what_fails_is_raised_and_tried_anew():
    once: Once[str, int] = Once()
    with pytest.raises(ValueError, match="first try"):
        once.get("key", lambda: int("first try"))
    assert once.get("key", lambda: 7) == 7


def test_only_the_values_last_asked_for_are_kept():
    once: Once[int, list[int]] = Once(kept=2)
    zero, one = once.get(0, lambda: [0]), once.get(1, lambda: [1])
    assert once.get(0, list) is zero
    once.get(2, lambda: [2])
    assert once.get(0, list) is zero
    assert once.get(1, list) is not one


def test_a_value_that_is_being_made_is_not_dropped_and_made_again():
    once: Once[int, list[int]] = Once(kept=1)
    made, begun, may_end = [], threading.Event(), threading.Event()

    def slow() -> list[int]:
        made.append(0)
        begun.set()
        assert may_end.wait(10)
        return [0]

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(once.get, 0, slow)
        assert begun.wait(10)
        once.get(1, lambda: [1])
        once.get(2, lambda: [2])
        second = pool.submit(once.get, 0, slow)
        may_end.set()
        assert first.result() is second.result()
    assert made == [0]
    assert once.get(0, list) == [0]
    once.get(3, lambda: [3])
    assert once.get(0, list) == []
