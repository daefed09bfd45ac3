"""Strategies that damage something good: random bytes alone seldom get past the first check.

FUZZ_EXAMPLES in the environment says how much is tried: a little in `make test`, a lot in
`make fuzz`.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "50"))
FUZZ = settings(
    max_examples=EXAMPLES,
    deadline=None,  # a busy machine is no finding
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

NUMBERS = st.integers() | st.floats() | st.sampled_from([0, -1, 2**31, 2**63, 2**64, 10**30])
LEAVES = st.none() | st.booleans() | NUMBERS | st.text(max_size=20)
TREES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=10,
)


@st.composite
def damaged_bytes(draw: DrawFn, good: SearchStrategy[bytes]) -> bytes:
    """Return good bytes with some changed, a part missing, doubled or taken from elsewhere."""
    content = bytearray(draw(good))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(0, len(content) - 1)))
        length = draw(st.integers(1, 16))
        match draw(st.sampled_from(["change", "cut", "insert", "double"])):
            case "change":
                new = draw(st.binary(min_size=1, max_size=4))
                content[at : at + len(new)] = new
            case "cut":
                del content[at : at + length * draw(st.sampled_from([1, 1, 1000]))]
            case "insert":
                content[at:at] = draw(st.binary(max_size=8))
            case _:
                content[at:at] = content[at : at + length]
    return bytes(content)


@st.composite
def damaged_tree(draw: DrawFn, good: str) -> Any:
    """Return the JSON document `good` with some of its values replaced, added or taken away."""
    tree = json.loads(good)
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(tree))
        inside, key = places[draw(st.integers(0, len(places) - 1))]
        match draw(st.sampled_from(["replace", "remove", "add"])):
            case "remove":
                del inside[key]
            case "add" if isinstance(inside, dict):
                inside[draw(st.text(max_size=8))] = draw(TREES)
            case _:
                inside[key] = draw(TREES)
        if not tree:
            break
    return tree


def _places(tree: Any) -> Any:
    keys = list(tree) if isinstance(tree, dict) else range(len(tree))
    for key in keys:
        yield tree, key
        if isinstance(tree[key], dict | list):
            yield from _places(tree[key])
