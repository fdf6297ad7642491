"""Sets of indexes behave as sets do, whatever runs they came in."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmgrid.core.errors import InvalidField
from wasmgrid.core.ranges import Ranges, format_runs, parse_runs

RUNS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 12)), max_size=12)


def numbers(runs: list[tuple[int, int]]) -> set[int]:
    return {number for first, count in runs for number in range(first, first + count)}


@given(RUNS, RUNS)
def test_as_a_set(added: list[tuple[int, int]], taken: list[tuple[int, int]]) -> None:
    ranges, plain = Ranges(), set[int]()
    for first, count in added:
        new = set(range(first, first + count)) - plain
        assert ranges.add(first, count) == len(new)
        plain |= new
    assert (list(ranges), len(ranges)) == (sorted(plain), len(plain))
    assert list(ranges.without(Ranges(taken))) == sorted(plain - numbers(taken))
    for first, count in taken:
        gone = plain & set(range(first, first + count))
        assert ranges.discard(first, count) == len(gone)
        plain -= gone
    assert (list(ranges), len(ranges)) == (sorted(plain), len(plain))
    assert all((number in ranges) == (number in plain) for number in range(80))
    assert ranges == Ranges((number, 1) for number in plain)


@given(RUNS)
def test_runs_are_apart_and_their_text_comes_back(added: list[tuple[int, int]]) -> None:
    runs = Ranges(added).runs()
    assert all(first + count < after for (first, count), (after, _) in pairwise(runs))
    assert not runs or parse_runs(format_runs(runs), field="array") == runs


@pytest.mark.parametrize(
    "text", ["", "a", "1-", "-1", "3-1", "1--2", "0x1", "1.5", "1-2-3", "99999999999", "2147483648", "٣"]
)
def test_what_is_no_range_is_refused_with_its_field(text: str) -> None:
    with pytest.raises(InvalidField) as refused:
        parse_runs(text, field="array")
    assert refused.value.field == "array"
