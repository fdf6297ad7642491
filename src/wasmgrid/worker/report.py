"""From what a runner leaves in its box to the report that its agent hands on; the box is then free for the next one."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from pathlib import Path

from msgspec.structs import replace

from wasmgrid.core.job import INLINE_BYTES, Stats
from wasmgrid.core.outcome import Outcome, OutcomeKind
from wasmgrid.runner.cell import Running
from wasmgrid.runner.frames import IO, End, Left, Returns, Stream
from wasmgrid.worker.box import Box
from wasmgrid.worker.task import ArtifactFile, OutputFile, RangeReport, RunnerChunk, RunnerReport, TaskKey
from wasmgrid.worker.trees import remove_tree

_NOTHING = OutputFile()


def label(key: TaskKey) -> str:
    """How files of this task are called, here and in `runner.process`."""
    return f"{key[0]}-{key[1]}"


class Reports:
    """Files of finished attempts under `directory`, one folder for each that has any, until they are released.

    A box is a place where a guest may have been at work: files are moved out first and looked at then, and what is not
    a regular file is dropped.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def of_end(self, box: Box, attempt: int, end: End, verdict: Outcome | None, cpu_enforced: bool) -> RunnerReport:
        """The report of a guest that ended; `verdict` is what it was stopped for from outside, if it was."""
        key = (attempt, end.index)
        stopped = verdict is not None and end.outcome.kind is OutcomeKind.CANCELLED
        return RunnerReport(
            attempt=attempt,
            index=end.index,
            outcome=verdict if verdict is not None and stopped else end.outcome,
            stdout=self._stream(box, key, end.stdout),
            stderr=self._stream(box, key, end.stderr),
            artifacts=[file for left in end.artifacts if (file := self._artifact(box, key, left)) is not None],
            stats=replace(end.stats, cpu_enforced=True) if cpu_enforced else end.stats,
            started_at=end.started_at,
            finished_at=end.finished_at,
            return_value=end.return_value,
        )

    def of_returns(self, attempt: int, returns: Returns, cpu_enforced: bool) -> RangeReport:
        """The report of calls that returned and printed nothing."""
        return RangeReport(
            attempt=attempt,
            first=returns.first,
            count=returns.count,
            values=returns.values,
            stats=replace(returns.stats, cpu_enforced=True) if cpu_enforced else returns.stats,
            started_at=returns.started_at,
            finished_at=returns.finished_at,
        )

    def of_death(
        self,
        box: Box,
        chunk: RunnerChunk,
        index: int,
        verdict: Outcome | None,
        how: str,
        heard: float,
        cpu_enforced: bool,
    ) -> RunnerReport:
        """The report of the task whose runner died: killed for `verdict`, or crashed.

        `heard` (monotonic): when the runner was last heard of; the task began then at the earliest.
        """
        running = box.running(chunk.attempt)
        if running is not None and running.task_index != index:
            running = None
        key = (chunk.attempt, index)
        wall_s = time.monotonic() - (heard if running is None else running.started)
        most = chunk.limits.output_bytes
        stdout, stderr = (self._spilled(box, key, stream, running, most) for stream in ("stdout", "stderr"))
        now = time.time()
        stats = Stats(
            wall_ms=wall_s * 1000,
            cpu_ms=0.0 if running is None else running.cpu_s * 1000,
            peak_memory_bytes=0 if running is None else running.peak_bytes,
            output_bytes=stdout.size + stderr.size,
            cpu_enforced=cpu_enforced,
        )
        return RunnerReport(
            attempt=chunk.attempt,
            index=index,
            outcome=verdict or Outcome(kind=OutcomeKind.LOST, message=f"its runner died: {how}"),
            stdout=stdout,
            stderr=stderr,
            stats=stats,
            crashed=verdict is None,
            started_at=now - wall_s,
            finished_at=now,
        )

    def read_live(self, box: Box, key: TaskKey, stream: str, offset: int, size: int) -> bytes:
        """At most `size` bytes of a running task's output from `offset`; empty where it has none yet."""
        running = box.running(key[0])
        if running is None or running.task_index != key[1]:
            return b""
        with contextlib.suppress(OSError):
            descriptor = os.open(box.spilled(stream), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                if stat.S_ISREG(os.fstat(descriptor).st_mode):
                    return os.pread(descriptor, size, offset)
            finally:
                os.close(descriptor)
        return b""

    def release(self, key: TaskKey) -> None:
        """Remove this attempt's files, if it has any."""
        folder = self._directory / label(key)
        if folder.exists():
            remove_tree(folder)

    def _stream(self, box: Box, key: TaskKey, stream: Stream) -> OutputFile:
        if not stream.size and not stream.truncated:
            return _NOTHING
        path = None if stream.file is None else self._take_out(box, key, stream.file)
        size = stream.size if stream.file is None or path is not None else len(stream.data)
        return OutputFile(data=stream.data, size=size, truncated=stream.truncated, path=path, tail=stream.tail)

    def _spilled(self, box: Box, key: TaskKey, stream: str, running: Running | None, most: int) -> OutputFile:
        path = None if running is None else self._take_out(box, key, box.spilled(stream).name)
        if path is None:
            return OutputFile()
        size = min(path.stat().st_size, most)
        os.truncate(path, size)
        with path.open("rb") as file:
            data = file.read(INLINE_BYTES)
        return OutputFile(data=data, size=size, path=path if size > INLINE_BYTES else None)

    def _artifact(self, box: Box, key: TaskKey, left: Left) -> ArtifactFile | None:
        local = self._take_out(box, key, left.file)
        return None if local is None else ArtifactFile(path=left.path, local=local, bytes=local.stat().st_size)

    def _take_out(self, box: Box, key: TaskKey, name: str) -> Path | None:
        folder = self._directory / label(key)
        if "/" in name:
            return None  # no runner of ours says this
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (box.path / IO / name).rename(folder / name)
        except OSError:
            return None
        if not stat.S_ISREG((folder / name).lstat().st_mode):
            return None
        return folder / name
