"""What is written of jobs: ids, attempt and worker in every line; nothing where all is well; never a flood."""

from __future__ import annotations

import time
from collections.abc import MutableMapping
from typing import Any

import pytest
import structlog
from tests.conformance.samples import built, worker

from wasmgrid.control import journal
from wasmgrid.control.journal import LINES_A_SECOND, Journal
from wasmgrid.core.job import TaskId, TaskResult
from wasmgrid.core.lifecycle import JobState
from wasmgrid.core.outcome import exited
from wasmgrid.protocol import events

Lines = list[MutableMapping[str, Any]]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Lines:
    """What is logged; `structlog.testing.capture_logs` sees nothing once a server was configured in this process."""
    capture = structlog.testing.LogCapture()
    everything = structlog.make_filtering_bound_logger(0)
    monkeypatch.setattr(journal, "log", structlog.wrap_logger(None, processors=[capture], wrapper_class=everything))
    return capture.entries


def lost(job_id: int) -> events.EndedAttempt:
    return events.EndedAttempt(task=TaskId("run", job_id, 3), attempt=9, worker_id="w1", reason="silent", count=5)


def test_what_went_wrong_says_whose_which_and_where(lines: Lines) -> None:
    failed = TaskResult(job_id=8, index=0, attempt=7, worker_id="w2", outcome=exited(3))
    book = Journal()
    book.committed(
        events.Record(
            results=[failed],
            ended=[lost(4)],
            finished=[
                events.FinishedJob(job_id=8, state=JobState.FAILED, message="it exited with 3"),
                events.FinishedJob(job_id=9, state=JobState.SUCCEEDED),
            ],
        )
    )
    book.committed(events.FinishBuild(result=built(2, "a" * 64, 10)))
    book.committed(events.SaveWorker(info=worker("w3"), state="lost"))
    ended, job, build, gone = lines
    assert (ended["job"], ended["attempt"], ended["worker"], ended["tasks"]) == (4, 9, "w1", 5)
    assert (job["event"], job["job"], job["attempt"], job["worker"]) == ("job failed", 8, 7, "w2")
    assert (build["build"], build["worker"], build["outcome"]) == (2, "w1", "exited")
    assert (gone["event"], gone["worker"]) == ("worker lost", "w3")


def test_results_of_jobs_that_go_on_or_went_well_are_silent(lines: Lines) -> None:
    result = TaskResult(job_id=8, index=0, attempt=7, worker_id="w2", outcome=exited(0))
    book = Journal()
    book.committed(events.Record(results=[result] * 1000))
    book.committed(events.Record(finished=[events.FinishedJob(job_id=8, state=JobState.SUCCEEDED)]))
    assert lines == []


def test_a_flood_is_counted_instead(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 5.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    book = Journal()
    book.committed(events.Record(ended=[lost(each) for each in range(LINES_A_SECOND + 50)]))
    now = 6.0
    book.committed(events.Record(ended=[lost(1)]))
    assert len(lines) == LINES_A_SECOND + 2
    assert lines[-2]["lines"] == 50
