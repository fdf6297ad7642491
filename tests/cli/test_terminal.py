"""Hostile row 48: what a guest or a name holds is shown on a terminal, never obeyed; in a file it is what it was."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmgrid.cli.terminal import GuestOutput, Progress, neutralised, one_line, wants_colour

ATTACKS = [
    "\x1b]0;title\x07", "\x1b[2J", "\x1b]52;c;aGk=\x07", "\x9b31m", "\x90q\x9c", "safe\roverwritten", "\x08",
    "\x7f", "\u202eevil", "\u2066x\u2069", "line\u2028break", "\x00",
]  # fmt: skip


class Terminal(io.TextIOWrapper):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def stream(*, terminal: bool) -> tuple[Any, io.BytesIO]:
    raw = io.BytesIO()
    kind = Terminal if terminal else io.TextIOWrapper
    return kind(raw, encoding="utf-8"), raw


def harmless(text: str) -> bool:
    return all(char in "\n\t" or char.isprintable() for char in text if char != "\ufffd" and ord(char) < 0x3000)


@pytest.mark.parametrize("attack", ATTACKS)
def test_hostile_48_escapes_in_output(attack: str) -> None:
    for terminal in (True, False):
        out, raw = stream(terminal=terminal)
        guest = GuestOutput(out)
        guest.write(attack.encode())
        guest.finish()
        if terminal:
            assert harmless(raw.getvalue().decode())
            assert raw.getvalue() != attack.encode()
        else:
            assert raw.getvalue() == attack.encode()


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=6))
def test_hostile_48_any_bytes_cut_anywhere(data: bytes, cuts: list[int]) -> None:
    whole, cut_up = stream(terminal=True), stream(terminal=True)
    GuestOutput(whole[0]).write(data)
    guest = GuestOutput(cut_up[0])
    start = 0
    for cut in [*sorted(cuts), len(data)]:
        guest.write(data[start:cut])
        start = max(start, cut)
    guest.finish()
    shown = cut_up[1].getvalue().decode()
    assert not set(shown) & {chr(point) for point in [*range(9), *range(11, 32), *range(0x7F, 0xA0)]}
    assert shown.startswith(whole[1].getvalue().decode())  # what is held back until the end comes last


def test_text_stays_text() -> None:
    out, raw = stream(terminal=True)
    guest = GuestOutput(out)
    guest.write("tab\tünï 漢字 🎉\r\n".encode())
    assert raw.getvalue().decode() == "tab\tünï 漢字 🎉\n"
    assert not guest.mid_line
    guest.write(b"no newline")
    assert guest.mid_line


def test_names_stay_on_one_line() -> None:
    assert one_line("a\nb\t\x1b[1m\r") == "a\\nb\\t\\x1b[1m\\r"
    assert neutralised("a\nb\t\x1b") == "a\nb\t\\x1b"


def test_progress_is_a_line_where_nobody_looks() -> None:
    out, raw = stream(terminal=False)
    progress = Progress(out, delay_s=0.0)
    for text in ("building: installing rust", "building: installing rust", "queued: no worker\x1b[2J"):
        progress.say(text)
        assert progress._timer is not None
        progress._timer.join()
    progress.clear()
    assert raw.getvalue().decode() == "building: installing rust\nqueued: no worker\\x1b[2J\n"


def test_progress_is_redrawn_on_a_terminal_and_leaves_nothing() -> None:
    out, raw = stream(terminal=True)
    progress = Progress(out, delay_s=0.0)
    progress.say("building")
    assert progress._timer is not None
    progress._timer.join()
    progress.clear()
    assert raw.getvalue() == b"\r\x1b[Kbuilding\r\x1b[K"


def test_what_passes_at_once_is_never_seen() -> None:
    out, raw = stream(terminal=False)
    progress = Progress(out, delay_s=60.0)
    progress.say("building")
    progress.clear()
    assert raw.getvalue() == b""


def test_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    out, _ = stream(terminal=True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert wants_colour(out)
    monkeypatch.setenv("NO_COLOR", "1")
    assert not wants_colour(out)
