"""The history of a worker: each life, each start of an attempt, each end. Whoever must account for every run reads it.

<worker's directory>/starts.log, one JSON object a line, and starts.log.1, the one before. The worker itself reads them
once, at its start: what its former life began and did not end has died with it.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import structlog

from wasmgrid.core.ranges import Run
from wasmgrid.core.wire import Held

NAME = "starts.log"
ROTATE_BYTES = 64 << 20  # some 400,000 starts; as many more are in the file before


class Life(msgspec.Struct, tag="life", frozen=True):
    """The worker's process began; what an earlier life began and did not end has ended by now. Seconds since 1970."""

    at: float
    pid: int
    incarnation: str


class Began(msgspec.Struct, tag="began", frozen=True, omit_defaults=True):
    """An attempt began: of a build, or of the `count` tasks of job `id` from `index` on, one after the other.

    These GPUs are its own until its end. An attempt that was taken back before it could begin has no entry.
    """

    at: float
    attempt: int
    kind: str
    id: int
    index: int
    gpus: list[int] = []
    count: int = 1


class Ran(msgspec.Struct, tag="ran", frozen=True):
    """These tasks of an attempt at several ended, and the others go on."""

    at: float
    attempt: int
    tasks: list[Run]


class Ended(msgspec.Struct, tag="ended", frozen=True, omit_defaults=True):
    """Nothing of the attempt runs any more, whatever became of it; `rest` are its tasks that never began."""

    at: float
    attempt: int
    rest: list[Run] = []


class _Carried(msgspec.Struct, tag="carried", frozen=True):
    """At the top of a new file: an attempt that began in the one before, and goes on."""

    began: Began


Entry = Life | Began | Ran | Ended

_decoder = msgspec.json.Decoder(Life | Began | Ran | Ended | _Carried)
_encoder = msgspec.json.Encoder()
_LIFE = b'\n{"type":"life"'

log = structlog.get_logger()


class Starts:
    """Writes the history. A start is in the file when the call returns, though not on disk: it must outlive the
    process, not the machine. An end gets there with the next start, or with `flush`.

    `died` are the attempts that the former life of this worker began and did not end.
    """

    def __init__(self, directory: Path, incarnation: str, *, rotate_bytes: int = ROTATE_BYTES) -> None:
        self._path = directory / NAME
        self._rotate_bytes = rotate_bytes
        self._failed = False
        self._begun: dict[int, Began] = {}
        self._unwritten = b""
        self.died = [_died(one) for one in _unended(self._path)]
        self._open()
        if self._size:
            self._unwritten = b"\n"  # the last life may have been killed in the middle of a line
        self._note(Life(time.time(), os.getpid(), incarnation))
        self.flush()

    def began(self, held: Held) -> None:
        """An attempt begins."""
        entry = Began(time.time(), held.attempt, held.kind, held.id, held.index, held.gpus, held.count)
        self._begun[held.attempt] = entry
        self._note(entry)
        self.flush()

    def ran(self, attempt: int, tasks: Sequence[Run]) -> None:
        """Of an attempt at several tasks, these have ended."""
        if attempt in self._begun:
            self._note(Ran(time.time(), attempt, list(tasks)))

    def ended(self, attempt: int, rest: Sequence[Run] = ()) -> None:
        """An attempt is over, if it ever began."""
        if self._begun.pop(attempt, None) is not None:
            self._note(Ended(time.time(), attempt, list(rest)))

    def flush(self) -> None:
        """Write what is not written yet."""
        if not self._unwritten:
            return
        data, self._unwritten = self._unwritten, b""
        try:
            if self._size >= self._rotate_bytes:
                self._rotate()
            self._size += os.write(self._descriptor, data)
        except OSError as error:  # a full disk: work goes on without a history
            if not self._failed:
                log.warning("starts are not written down", error=str(error))
            self._failed = True

    def close(self) -> None:
        """An orderly end: nothing died. What is not acknowledged was given back or will be missed."""
        for attempt in list(self._begun):
            self.ended(attempt)
        self.flush()
        with contextlib.suppress(OSError):
            os.close(self._descriptor)

    def _note(self, entry: Entry) -> None:
        self._unwritten += _encoder.encode(entry) + b"\n"

    def _open(self) -> None:
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._descriptor).st_size

    def _rotate(self) -> None:
        os.close(self._descriptor)
        self._path.replace(self._path.with_name(f"{NAME}.1"))
        self._open()
        carried = [_encoder.encode(_Carried(one)) + b"\n" for one in self._begun.values()]
        os.write(self._descriptor, b"".join(carried))


def read(directory: Path) -> Iterator[Entry]:
    """Every entry of a worker's directory, oldest first; a line that a kill cut off is none."""
    for path in (directory / f"{NAME}.1", directory / NAME):
        with contextlib.suppress(FileNotFoundError), path.open("rb") as lines:
            for entry in _decoded(lines):
                if not isinstance(entry, _Carried):
                    yield entry


def _decoded(lines: Iterator[bytes] | Sequence[bytes]) -> Iterator[Entry | _Carried]:
    for line in lines:
        with contextlib.suppress(msgspec.DecodeError):
            yield _decoder.decode(line)


def _unended(path: Path) -> list[Began]:
    """What the last life in this file began and did not end."""
    begun: dict[int, Began] = {}
    if path.is_file():
        data = b"\n" + path.read_bytes()
        for entry in _decoded(data[max(0, data.rfind(_LIFE)) :].splitlines()):
            match entry:
                case _Carried(began) | (Began() as began):
                    begun[began.attempt] = began
                case Ended(attempt=attempt):
                    begun.pop(attempt, None)
    return list(begun.values())


def _died(began: Began) -> Held:
    return Held(
        attempt=began.attempt,
        kind=began.kind,
        id=began.id,
        index=began.index,
        phase="died",
        count=began.count,
        running=began.index if began.kind == "run" and began.count == 1 else None,
    )
