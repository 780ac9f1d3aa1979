"""Values are told from types: literals, containers, references, protocols."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, Protocol

import gin
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtmoe.config.statements import Macro, Reference
from mtmoe.config.value_types import matches, type_name


class Runs(Protocol):
    """What has a `run`."""

    def run(self) -> int:
        """Runs."""
        ...


@gin.configurable(module="value_types_test")
class Dog:
    """Runs."""

    def run(self) -> int:
        """Returns its speed."""
        return 3


@gin.configurable(module="value_types_test")
class Cat:
    """Does not."""


@gin.configurable(module="value_types_test")
def bark(volume: int = 1) -> str:
    """Returns a sound."""
    return "x" * volume


@gin.configurable(module="value_types_test")
def whatever(size=1):  # type: ignore[no-untyped-def]
    """Says nothing of itself."""
    return size


DOG, CAT, BARK = (
    Reference(f"value_types_test.{n}", True) for n in ("Dog", "Cat", "bark")
)
BARKER = Reference("value_types_test.bark", False)
DOG_CLASS = Reference("scope/value_types_test.Dog", False)


@pytest.mark.parametrize(
    ("annotation", "good", "bad"),
    [
        (int, [3, -1], [3.0, True, "3", None, [3], BARK]),
        (float, [3, 0.5], [True, "0.5", None, DOG]),
        (bool, [True], [0, "yes"]),
        (str, ["a", BARK], [1, b"a", BARKER, DOG]),
        (int | None, [3, None], ["x"]),
        (Annotated[int, "a range"], [3], ["3"]),
        (Literal["sum", "mean"], ["sum"], ["max", 3]),
        (Literal[1, 2], [1], [True, 3]),
        (list[int], [[], [1, 2]], [["a"], {1: 2}, "ab", 3]),
        (Sequence[str], [("a",), []], ["a", [1]]),
        (tuple[int, str], [(1, "a"), [1, "a"]], [(1,), ("a", 1), (1, "a", 2)]),
        (tuple[int, ...], [(), (1, 2)], [(1, "a")]),
        (dict[str, int], [{"a": 1}, {}], [{1: 1}, {"a": "b"}, ["a"]]),
        (Mapping[str, list[int]], [{"a": [1]}], [{"a": [0.5]}]),
        (Callable[[int], str], [BARKER], ["bark", 3, BARK]),
        (Callable[[], Runs], [DOG_CLASS], [Reference("value_types_test.Cat", False)]),
        (Runs, [DOG], [CAT, DOG_CLASS, 3, "Dog"]),
        (Dog | None, [DOG, None], [CAT, 3]),
        (list[Runs], [[DOG]], [[CAT], [3]]),
        (Any, [1, "a", None, DOG, BARKER], []),
        (Dog, [Reference("value_types_test.whatever", True), Macro("M")], ["dog"]),
    ],
)
def test_what_fits_and_what_does_not(
    annotation: Any, good: list[Any], bad: list[Any]
) -> None:
    for value in good:
        assert matches(annotation, value), value
    for value in bad:
        assert not matches(annotation, value), value


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    )
)
def test_a_container_fits_if_all_its_values_do(value: Any) -> None:
    assert matches(list[Any], [value]) and matches(dict[str, Any], {"a": value})
    assert matches(list[int], [value]) == matches(int, value)
    assert matches(dict[str, int | None], {"a": value}) == matches(int | None, value)


def test_types_are_named_as_one_writes_them() -> None:
    assert type_name(int | None) == "int | None"
    assert type_name(dict[str, Annotated[int, 1]]) == "dict[str, int]"
    assert type_name(Literal["a", "b"]) == "'a' | 'b'"
    assert type_name(Callable[[int], Dog]) == "Callable[[int], Dog]"
