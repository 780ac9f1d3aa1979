"""Finding and replacing parts of values made of values."""

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.structure import find_all, replace_all


@dataclasses.dataclass(frozen=True)
class Pair:
    left: object
    right: object


structures = st.recursive(
    st.integers() | st.text(max_size=3) | st.none(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=2), inner, max_size=3)
        | st.builds(Pair, inner, inner)
    ),
)


@given(structures)
def test_what_is_found_is_what_is_replaced(structure):
    found = list(find_all(structure, int))
    seen = []

    def change(x):
        seen.append(x)
        return -x

    replaced = replace_all(structure, int, change)
    assert seen == found
    assert list(find_all(replaced, int)) == [-x for x in found]
    assert list(find_all(replaced, str)) == list(find_all(structure, str))
    assert replace_all(replaced, int, lambda x: -x) == structure


@given(structures)
def test_what_does_not_change_is_the_same_object(structure):
    kept = Pair((structure,), mtf.Dimension("batch", 2))
    assert replace_all(kept, float, lambda x: x + 1) == kept
    unchanged = Pair((1, "a"), mtf.Dimension("batch", 2))
    assert replace_all(unchanged, float, lambda x: x + 1) is unchanged


def test_named_tuples_keep_their_class():
    changed = replace_all(Pair(mtf.Dimension("batch", 2), 3), int, lambda x: 2 * x)
    assert changed == Pair(mtf.Dimension("batch", 4), 6)
