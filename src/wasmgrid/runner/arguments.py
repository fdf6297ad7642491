"""What each task of a chunk is given: templates filled in, lines taken apart."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from wasmgrid.runner.frames import Run
from wasmgrid.runner.traps import Unrunnable

_TEMPLATE = re.compile(r"\{\{(index|line)\}\}|\{(index|line)\}")


class Given(NamedTuple):
    """One task's own arguments and stdin; `call` is what a function is called with, as JSON."""

    args: list[str]
    stdin: bytes
    call: bytes = b""


class Arguments:
    """Those of the tasks of one run. `same`: every task is given the same, so one look is enough."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._lines = None if run.lines is None else run.lines.split(b"\n")
        self._templates = run.array and any("{" in one for one in run.args)
        self.same = self._lines is None and not self._templates
        self._is_called = run.function is not None
        self._by_call = self._is_called and run.use == "call" and self._lines is not None

    def of(self, index: int) -> Given:
        """What task `index` is given; raises `Unrunnable` for a line that cannot be used as it should be."""
        if self._by_call:
            return Given([], b"", call_of(self._line(index)))
        run = self._run
        args, stdin = run.args, run.stdin
        line = b"" if self._lines is None else self._line(index)
        if self._templates:
            fill = _filler(index, line)
            args = [_TEMPLATE.sub(fill, one) for one in args]
        if self._lines is not None:
            if run.use == "stdin":
                stdin = line + b"\n"
            elif run.use in _SPLIT:
                args = args + _split(line, run.use)
        if any("\0" in one for one in args):
            raise Unrunnable("an argument holds a NUL byte")
        return Given(args, stdin, msgspec.json.encode({"argv": args}) if self._is_called else b"")

    def calls(self) -> list[bytes] | None:
        """The lines, where each is what the function is called with; else None."""
        if not self._by_call or self._lines is None:
            return None
        return self._lines + [b""] * (self._run.count - len(self._lines))

    def _line(self, index: int) -> bytes:
        at = index - self._run.first
        return self._lines[at] if self._lines is not None and at < len(self._lines) else b""


def call_of(line: bytes) -> bytes:
    """A line of JSON as a function's arguments: one that is no array is the only argument."""
    text = line.strip()
    return text if text[:1] == b"[" else b"[" + text + b"]"


def _filler(index: int, line: bytes) -> Callable[[re.Match[str]], str]:
    def fill(found: re.Match[str]) -> str:
        if found[1]:
            return "{" + found[1] + "}"
        return str(index) if found[2] == "index" else _text(line)

    return fill


def _text(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise Unrunnable(f"its line is no UTF-8 text: {error}") from error


def _shell_words(line: bytes) -> list[str]:
    try:
        return shlex.split(_text(line))
    except ValueError as error:
        raise Unrunnable(f"its line cannot be split into arguments: {error}") from error


def _json_words(line: bytes) -> list[str]:
    try:
        return [_word(one) for one in msgspec.json.decode(line, type=list[msgspec.Raw])]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unrunnable(f"its line is no JSON array of strings and numbers: {error}") from error


def _word(raw: msgspec.Raw) -> str:
    value = msgspec.json.decode(raw, type=str | int | float)
    return value if isinstance(value, str) else bytes(raw).decode()


_SPLIT = {"args": _shell_words, "json_args": _json_words}


def _split(line: bytes, use: str) -> list[str]:
    return _SPLIT[use](line)
