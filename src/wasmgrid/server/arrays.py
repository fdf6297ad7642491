"""What an array or a function asks for, checked before it is a job; a text of lines is read once, in pieces."""

from __future__ import annotations

import codecs
from typing import NamedTuple

import msgspec

from wasmgrid.core.errors import InputNotFound, InvalidField, NotFound, TooLarge
from wasmgrid.core.job import JobSpec, Lines
from wasmgrid.core.limits import Ceiling
from wasmgrid.core.ranges import parse_runs
from wasmgrid.core.units import format_bytes
from wasmgrid.store.blobs import Blobs

LINE_BYTES = 256 * 1024
PIECE_BYTES = 1 << 20
LINE_WORD = "{line}"


class Sized(NamedTuple):
    """A spec whose lines are counted and whose indexes are named, and how many tasks that makes."""

    spec: JobSpec
    tasks: int


def check(spec: JobSpec) -> None:
    """Raise unless what is said of arrays and functions goes together; every error names its field."""
    arrayed = spec.array is not None or spec.lines is not None
    if not arrayed:
        for field in ("concurrency", "max_fails"):
            if getattr(spec, field) is not None:
                raise InvalidField(
                    f"{field} is for jobs of many tasks, and this one has one",
                    hint="say which tasks there are: array, --array 0-99",
                    field=field,
                )
    if spec.isolate and spec.function is None:
        raise InvalidField(
            "isolate is for calls of a function: every other task has an instance of its own anyway", field="isolate"
        )
    if spec.build_only:
        for field in ("array", "lines", "function"):
            if getattr(spec, field) is not None:
                raise InvalidField(
                    f"{field} says what to run, and with build_only nothing runs",
                    hint="leave one of them out; what a job ran is at GET /v1/jobs/{id}/module",
                    field=field,
                )
    if spec.function is not None:
        _check_function(spec, spec.function)
    if spec.lines is not None:
        _check_use(spec, spec.lines)


def _check_function(spec: JobSpec, name: str) -> None:
    if not name.isprintable() or any(character.isspace() for character in name):
        raise InvalidField(f"{name[:100]!r} cannot be the name of a function", field="function")
    if spec.stdin is not None:
        raise InvalidField("a function is given arguments, no stdin", hint="leave stdin out", field="stdin")


def _check_use(spec: JobSpec, lines: Lines) -> None:
    field = "lines.use"
    if lines.use == "call" and spec.function is None:
        raise InvalidField(
            "lines are to be a function's arguments, and the job names no function",
            hint="name it: function, --function NAME",
            field=field,
        )
    if lines.use == "stdin" and spec.function is not None:
        raise InvalidField(
            "a function is given arguments, no stdin",
            hint='lines.use can be "call" (JSON arrays) or "args" (words)',
            field=field,
        )
    if lines.use == "stdin" and spec.stdin is not None:
        raise InvalidField("stdin is given, and each line is to be it too", field="stdin")
    if lines.use == "line" and not any(LINE_WORD in arg for arg in spec.args):
        raise InvalidField(
            f"no argument says where the line goes: {LINE_WORD}",
            hint='lines.use "args" puts it after the others',
            field=field,
        )


async def sized(spec: JobSpec, blobs: Blobs, ceiling: Ceiling) -> Sized:
    """Count the lines, name the indexes, and see that there are not too many."""
    count = None
    if spec.lines is not None:
        count = await _counted(spec.lines, blobs)
        array = spec.array if spec.array is not None else f"0-{count - 1}"
        spec = msgspec.structs.replace(spec, array=array, lines=msgspec.structs.replace(spec.lines, count=count))
    if spec.array is None:
        return Sized(spec, 1)
    runs = parse_runs(spec.array, field="array")
    tasks = sum(length for _, length in runs)
    if tasks > ceiling.tasks:
        raise InvalidField(f"array has {tasks} tasks, this grid allows at most {ceiling.tasks}", field="array")
    last = sum(runs[-1]) - 1
    if count is not None and last >= count:
        raise InvalidField(
            f"task {last} has no line: there are {count}, for the indexes 0-{count - 1}",
            hint="leave array out, and every line is a task",
            field="array",
        )
    return Sized(spec, tasks)


async def _counted(lines: Lines, blobs: Blobs) -> int:
    size = await blobs.size(lines.sha256)
    if size is None:
        raise _missing(lines.sha256)
    counter = _Counter(words=lines.use != "stdin")
    try:
        for offset in range(0, size, PIECE_BYTES):
            counter.add(await blobs.read(lines.sha256, offset, PIECE_BYTES))
    except NotFound:
        raise _missing(lines.sha256) from None
    count = counter.end()
    if lines.count not in {0, count}:
        raise InvalidField(
            f"lines.count is {lines.count}, but the text has {count} lines",
            hint="leave it out: the server counts",
            field="lines.count",
        )
    return count


class _Counter:
    """Counts lines as they come in pieces; refuses what is no text, or no line. `words`: they become arguments."""

    def __init__(self, *, words: bool) -> None:
        self._words = words
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._count = 0
        self._open = 0  # bytes of the last line, which has no end yet

    def add(self, piece: bytes) -> None:
        """The next piece."""
        self._decode(piece)
        if self._words and b"\0" in piece:
            raise InvalidField(
                f"line {self._line_of(piece, piece.index(0))} has a NUL character, which no program could see",
                field="lines",
            )
        self._check_lengths(piece)
        self._count += piece.count(b"\n")
        last = piece.rfind(b"\n")
        self._open = len(piece) - last - 1 if last >= 0 else self._open + len(piece)

    def end(self) -> int:
        """How many there were."""
        self._decode(b"", final=True)
        count = self._count + (self._open > 0)
        if not count:
            raise InvalidField("the text has no lines, so there is nothing to run", field="lines")
        return count

    def _decode(self, piece: bytes, *, final: bool = False) -> None:
        begun = len(self._decoder.getstate()[0])  # bytes of a character that the piece before began
        try:
            self._decoder.decode(piece, final)
        except UnicodeDecodeError as error:
            raise InvalidField(
                f"line {self._line_of(piece, max(error.start - begun, 0))} is not UTF-8",
                hint="send what is no text as inputs",
                field="lines",
            ) from None

    def _check_lengths(self, piece: bytes) -> None:
        """From line end to line end, as far as a line may go: what holds none of them is too long."""
        at = -1 - self._open
        while at + 1 + LINE_BYTES < len(piece):
            end = piece.rfind(b"\n", max(at + 1, 0), at + 2 + LINE_BYTES)
            if end < 0:
                raise TooLarge(
                    f"line {self._line_of(piece, max(at + 1, 0))} has more than {format_bytes(LINE_BYTES)}",
                    hint="send what is large as an input",
                    field="lines",
                )
            at = end

    def _line_of(self, piece: bytes, at: int) -> int:
        """Which line, from 1 on, the byte at `at` is in."""
        return self._count + piece.count(b"\n", 0, at) + 1


def _missing(sha256: str) -> InputNotFound:
    return InputNotFound(
        f"no text {sha256} is here", hint=f"upload it first: PUT /v1/inputs/{sha256}", field="lines.sha256"
    )
