"""Resources add and subtract exactly, however often."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmgrid.core.resources import NAMES, Resources, milli

SOME = st.builds(Resources, **{name: st.integers(0, 1 << 40) for name in NAMES})


@given(st.lists(SOME, max_size=20), st.randoms(use_true_random=False))
def test_what_was_taken_in_any_order_and_given_back_leaves_the_capacity(taken: list[Resources], dice: object) -> None:
    capacity = sum(taken, start=Resources(memory_mb=1))
    free = capacity
    for need in taken:
        assert need.fits_in(free)
        free -= need
    assert free == Resources(memory_mb=1)
    dice.shuffle(taken)  # type: ignore[attr-defined]
    assert sum(taken, start=free) == capacity


@given(SOME, SOME)
def test_it_fits_where_the_rest_is_not_negative(need: Resources, free: Resources) -> None:
    left = free - need
    assert need.fits_in(free) == all(getattr(left, name) >= 0 for name in NAMES)


@pytest.mark.parametrize(
    ("cpus", "thousandths"), [(1, 1000), (0.5, 500), (0.1, 100), (0.0001, 1), (2.3, 2300), (1 / 3, 334)]
)
def test_cpus_become_integers_and_never_nothing(cpus: float, thousandths: int) -> None:
    assert milli(cpus) == thousandths


@given(st.floats(min_value=1e-9, max_value=1024))
def test_a_request_is_never_rounded_down(cpus: float) -> None:
    assert milli(cpus) >= 1 or cpus < 1e-6
    assert milli(cpus) >= cpus * 1000 - 1e-3
