"""Durations and sizes, as people write them and as they read them."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmgrid.core.units import format_bytes, format_ms, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("10m", 600), ("1h30m", 5400), ("250ms", 0.25), ("7", 7), ("1.5h", 5400), ("2d", 172_800)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "10x", "1h 30m", "-5s", "1e3s", "ten", "nan", "inf", "10 minutes"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="30s"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("16M", 16 << 20),
        ("512K", 512 << 10),
        ("1G", 1 << 30),
        ("1GiB", 1 << 30),
        ("10", 10),
        ("1.5k", 1536),
        ("3 MB", 3 << 20),
    ],
)
def test_sizes(text: str, count: int) -> None:
    assert parse_size(text) == count


@pytest.mark.parametrize("text", ["", "M", "16X", "-1M", "1e9", "nan", "1M2K"])
def test_what_is_no_size_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="16M"):
        parse_size(text)


@given(st.text(max_size=20))
def test_any_other_text_is_a_value_error_and_nothing_else(text: str) -> None:
    for parse in (parse_duration, parse_size):
        with contextlib.suppress(ValueError):
            assert parse(text) >= 0


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0.42, "0.4 ms"),
        (41, "41 ms"),
        (5000, "5.00 s"),
        (125_000, "2 m 5 s"),
        (3_720_000, "1 h 2 m"),
        (999.4, "999 ms"),
    ],
)
def test_times_read_well(ms: float, text: str) -> None:
    assert format_ms(ms) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1.1 * (1 << 20), "1.1 MiB"), (5 << 30, "5.0 GiB"), (9 << 40, "9216.0 GiB")],
)
def test_sizes_read_well(count: float, text: str) -> None:
    assert format_bytes(count) == text


@given(st.integers(0, 1 << 40))
def test_a_size_that_was_shown_can_be_typed(count: int) -> None:
    assert parse_size(format_bytes(count)) == pytest.approx(count, rel=0.06)
