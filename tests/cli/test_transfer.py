"""The bar of uploads and downloads: on a terminal once they take a second; bytes are counted, not changed."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest

from wasmgrid.cli import transfer
from wasmgrid.cli.transfer import Transfer
from wasmgrid.sdk import blobs


class Terminal(io.StringIO):
    """A stream that calls itself a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Where bars are drawn at once."""
    stream = Terminal()
    monkeypatch.setattr(transfer, "sys", SimpleNamespace(stderr=stream))  # not pytest's
    monkeypatch.setattr(transfer, "DELAY_S", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    return stream


def test_a_download_is_drawn_and_what_comes_is_what_is_written(terminal: Terminal) -> None:
    into = io.BytesIO()
    with Transfer("a\x1b[2J.wasm", 4 << 20) as moving:
        counted = moving.counted(into)
        for _ in range(4):
            counted.write(b"x" * (1 << 20))
        assert counted.tell() == 4 << 20
    assert into.getvalue() == b"x" * (4 << 20)
    assert "a\\x1b[2J.wasm" in terminal.getvalue()
    assert "/4.2 MiB" in terminal.getvalue() or "/4.0 MiB" in terminal.getvalue()


def test_an_upload_is_drawn_as_it_is_sent(terminal: Terminal) -> None:
    blob = blobs.of_bytes(b"y" * 600_000)
    with Transfer("uploading", blob.size) as moving:
        (counted,) = moving.uploaded({blob.sha256: blob}).values()
        assert (counted.sha256, counted.size) == (blob.sha256, blob.size)
        assert b"".join(counted.chunks()) == b"".join(blob.chunks())
    assert "uploading" in terminal.getvalue()


def test_what_is_over_at_once_is_never_drawn(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "DELAY_S", 60.0)
    with Transfer("uploading", 10) as moving:
        moving.add(10)
    assert terminal.getvalue() == ""


def test_without_a_terminal_nothing_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(transfer, "sys", SimpleNamespace(stderr=stream))  # not pytest's
    monkeypatch.setattr(transfer, "DELAY_S", 0.0)
    with Transfer("uploading", 10) as moving:
        moving.add(5)
    assert stream.getvalue() == ""


def test_dumb_terminals_are_left_alone(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    with Transfer("uploading", 10) as moving:
        moving.add(5)
    assert terminal.getvalue() == ""
