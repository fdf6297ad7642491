"""Numbers of strangers: read exactly, or not at all."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wasmgrid.core.digits import whole_number

MOST = (1 << 63) - 1


@given(st.integers(min_value=0, max_value=1 << 70), st.integers(min_value=0, max_value=50))
def test_a_number_within_the_limit_is_read_with_its_zeros(number: int, zeros: int) -> None:
    expected = number if number <= MOST else None
    assert whole_number("0" * zeros + str(number), MOST) == expected


@given(st.text())
def test_whatever_is_no_number_is_none(text: str) -> None:
    number = whole_number(text, MOST)
    assert number is None or (text.isascii() and int(text) == number)


def test_any_length_is_cheap() -> None:
    assert whole_number("9" * 100_000, MOST) is None
    assert whole_number("0" * 100_000, MOST) == 0
    assert whole_number("", MOST) is None
    assert whole_number("²", MOST) is None
