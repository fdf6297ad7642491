"""What a worker began and settled, on disk: an agent that was killed tells from it what died with it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec
import structlog

from wasmgrid.core.wire import Held

COMPACT_LINES = 20_000


class _Began(msgspec.Struct, tag="began", frozen=True):
    attempt: int
    kind: str
    id: int
    index: int


class _Settled(msgspec.Struct, tag="settled", frozen=True):
    attempt: int


_decoder = msgspec.json.Decoder(_Began | _Settled)
_encoder = msgspec.json.Encoder()

log = structlog.get_logger()


class StartLog:
    """Append-only, one JSON object a line, not fsynced: it must outlive the process, not the machine.

    `died` are the attempts that the former life of this worker began and did not settle. What is settled goes when the
    file is written anew; `starts` keeps every start.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open_attempts = {entry.attempt: entry for entry in _unsettled(path)}
        self.died = [
            Held(attempt=entry.attempt, kind=entry.kind, id=entry.id, index=entry.index, phase="died")
            for entry in self._open_attempts.values()
        ]
        self._open_attempts.clear()
        self._lines = 0
        self._descriptor = self._rewrite()

    def began(self, held: Held) -> None:
        """An attempt is taken here."""
        entry = _Began(attempt=held.attempt, kind=held.kind, id=held.id, index=held.index)
        self._open_attempts[entry.attempt] = entry
        self._append(entry)

    def settled(self, attempt: int) -> None:
        """The attempt's result is acknowledged, or it counts no more."""
        if self._open_attempts.pop(attempt, None) is not None:
            self._append(_Settled(attempt=attempt))

    def close(self) -> None:
        """An orderly end: nothing died. What is not acknowledged was given back or will be missed."""
        for attempt in list(self._open_attempts):
            self.settled(attempt)
        with contextlib.suppress(OSError):
            os.close(self._descriptor)

    def _append(self, entry: _Began | _Settled) -> None:
        try:
            os.write(self._descriptor, _encoder.encode(entry) + b"\n")
            self._lines += 1
            if self._lines > COMPACT_LINES:
                before, self._descriptor = self._descriptor, self._rewrite()
                os.close(before)
        except OSError as error:  # a full disk: the attempt goes on; were this agent killed, its lease would tell
            log.warning("an attempt is not written down", attempt=entry.attempt, error=str(error))

    def _rewrite(self) -> int:
        """Begin the file anew with what is open; the old one is replaced only when the new one is whole."""
        self._lines = 0
        temporary = self._path.with_suffix(".new")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(temporary, flags, 0o600)
        for entry in self._open_attempts.values():
            os.write(descriptor, _encoder.encode(entry) + b"\n")
        temporary.replace(self._path)
        return descriptor


def _unsettled(path: Path) -> list[_Began]:
    """The entries without an end; a line cut off by the kill is no entry."""
    entries: dict[int, _Began] = {}
    with contextlib.suppress(FileNotFoundError):
        for line in path.read_bytes().splitlines():
            with contextlib.suppress(msgspec.DecodeError):
                entry = _decoder.decode(line)
                if isinstance(entry, _Began):
                    entries[entry.attempt] = entry
                else:
                    entries.pop(entry.attempt, None)
    return list(entries.values())
