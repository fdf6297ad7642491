"""What an operator wants to read later of jobs, builds and workers: a line each when it is committed.

Tasks that end well leave none, and neither do jobs. What goes wrong a thousand times a second is written a hundred
times, and counted.
"""

from __future__ import annotations

import time
from typing import Any

import structlog

from wasmgrid.core.job import BuildResult
from wasmgrid.core.lifecycle import JobState
from wasmgrid.protocol import events

LINES_A_SECOND = 100

log = structlog.get_logger()


class Journal:
    """One leader's."""

    def __init__(self) -> None:
        self._second = 0
        self._lines = self._left_out = 0

    def committed(self, body: events.Body) -> None:
        """This is in the store now."""
        match body:
            case events.Record() if body.ended or body.finished:
                self._record(body)
            case events.FinishBuild(result=result):
                self._build(result)
            case events.SaveWorker():
                self._worker(body)

    def _record(self, record: events.Record) -> None:
        for ended in record.ended:
            about = {"job" if ended.task.kind == "run" else "build": ended.task.id}
            if ended.task.kind == "run":
                about |= {"index": ended.task.index, "tasks": ended.count}
            self._line(
                "attempt ended without a result",
                **about,
                attempt=ended.attempt,
                worker=ended.worker_id,
                reason=ended.reason,
                crashed=ended.crashed,
            )
        unhappy = [job for job in record.finished if job.state is not JobState.SUCCEEDED]
        if unhappy:
            last = {result.job_id: result for result in record.results}
            for job in unhappy:
                result = last.get(job.job_id)
                self._line(
                    f"job {job.state}",
                    job=job.job_id,
                    attempt=result.attempt if result is not None else None,
                    worker=result.worker_id if result is not None else None,
                    outcome=str(result.outcome.kind) if result is not None else None,
                    message=job.message or (result.outcome.message if result is not None else None),
                )

    def _build(self, result: BuildResult) -> None:
        self._line(
            "build ended",
            build=result.build_id,
            attempt=result.attempt,
            worker=result.worker_id,
            outcome=str(result.outcome.kind),
            toolchain=result.toolchain,
            build_ms=round(result.build_ms),
            module=result.module_sha256,
        )

    def _worker(self, saved: events.SaveWorker) -> None:
        held = {"hold": saved.hold, "note": saved.note} if saved.hold else {}
        self._line(f"worker {saved.state}", worker=saved.info.id, version=saved.info.version, **held)

    def _line(self, event: str, **about: Any) -> None:
        second = int(time.monotonic())
        if second != self._second:
            if self._left_out:
                log.warning("lines were left out of this log", lines=self._left_out)
            self._second, self._lines, self._left_out = second, 0, 0
        if self._lines >= LINES_A_SECOND:
            self._left_out += 1
            return
        self._lines += 1
        log.info(event, **{key: value for key, value in about.items() if value is not None})
