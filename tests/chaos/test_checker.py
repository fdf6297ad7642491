"""The checker says nothing of a good run, and finds each thing that must not be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.chaos.checker import Evidence, violations
from tests.chaos.records import Fault, FaultKind, Json, Program, Start, Submission, TaskEnd

GOOD = Program("good", {}, lambda job: bool(job["state"] == "succeeded"))
THREE = Program("array", {}, lambda job: bool(job["state"] == "succeeded"), tasks=3)
CANCELLED = Program("cancelled", {"source": "long"}, lambda _: True)
FAILING = Program("failing", {}, lambda _: True, own_failures=1)


def end(job_id: int, state: str = "succeeded", outcome: str = "exited", attempt: int = 1) -> Json:
    """A finished job as a server tells it."""
    result = {"outcome": outcome, "exit_code": 0, "attempt": attempt, "worker_id": "w1", "message": None}
    return {"id": job_id, "state": state, "finished": True, "result": result}


def start(attempt: int = 1, worker: str = "w1", at: float = 10.0, ended_at: float | None = 11.0) -> Start:
    """A start of job 1."""
    return Start(attempt=attempt, worker=worker, kind="run", id=1, index=0, at=at, ended_at=ended_at)


def fault(kind: FaultKind, target: str = "w1", began_at: float = 10.5, ended_at: float = 10.9) -> Fault:
    """A fault while the first start of `start` was under way."""
    return Fault(kind=kind, target=target, began_at=began_at, ended_at=ended_at)


def run(*starts: Start, faults: tuple[Fault, ...] = (), last: Json | None = None, **of_the_job: Any) -> Evidence:
    """A run of one job, as it should be but for what is given."""
    given = {"ids": {1}, "first_end": end(1, attempt=starts[-1].attempt if starts else 0), **of_the_job}
    one = Submission("key", given.pop("program", GOOD), **given)
    return Evidence(
        submissions=[one],
        starts=starts,
        faults=faults,
        ends={"server1": {1: last or one.first_end or end(1)}},
        reasons={},
        results={},
        path=frozenset({"nats1"}),
        grace_s=5.0,
        builds={},
    )


OUTCOMES = {"succeeded": "exited", "cancelled": "cancelled"}
RETRIED = {("run", 1, 0): "will be retried: exited(4)"}
TWICE = (start(), replace(start(2, at=12.0, ended_at=13.0)))


def chunk(attempt: int, *indexes: int, worker: str = "w1", at: float = 10.0, ended_at: float = 11.0) -> list[Start]:
    """Starts of tasks of job 1 that went together."""
    return [replace(start(attempt, worker, at, ended_at), index=index) for index in indexes]


def array(
    *starts: Start, results: list[tuple[int, int]], faults: tuple[Fault, ...] = (), ended: str = "succeeded"
) -> Evidence:
    """A run of one array of three tasks; `results`: (index, attempt), of no worker where that is 0."""
    last = {**end(1, ended), "result": None}
    evidence = run(*starts, faults=faults, program=replace(THREE, right=lambda _: True), first_end=last, last=last)
    ends = [
        TaskEnd(index=at, attempt=made, worker="w1" if made else "", outcome=OUTCOMES[ended]) for at, made in results
    ]
    return replace(evidence, results={1: ends})


def built_twice(*jobs: tuple[float, float | None], ended_at: float | None = 11.0) -> Evidence:
    """A build that began at 10 and at 12, of jobs: (acknowledged, its cancel acknowledged)."""
    starts = [replace(one, kind="build", id=5) for one in (start(ended_at=ended_at), TWICE[1])]
    submissions = [
        Submission(f"key {number}", CANCELLED, {number}, said_at, cancelled_at, end(number, "cancelled", "lost"))
        for number, (said_at, cancelled_at) in enumerate(jobs, 1)
    ]
    ends = {number: end(number, "cancelled", "lost") for number in range(1, len(jobs) + 1)}
    return replace(
        run(*starts), submissions=submissions, ends={"server1": ends}, builds=dict.fromkeys(list(ends)[-1:], 5)
    )


@pytest.mark.parametrize(
    "evidence",
    [
        run(start()),
        run(*TWICE, faults=(fault(FaultKind.KILL),)),
        run(*TWICE, faults=(fault(FaultKind.CUT, began_at=1.0, ended_at=9.0),)),
        run(*TWICE, faults=(fault(FaultKind.PAUSE, "nats1"),)),
        run(start(ended_at=15.0), TWICE[1], faults=(fault(FaultKind.PAUSE, "nats1"),)),
        run(start(), first_end=end(1, "cancelled", "cancelled", attempt=7), program=FAILING),
        run(*TWICE, program=FAILING),
        array(*chunk(1, 0, 1), *chunk(2, 2, at=10.5), results=[(0, 1), (1, 1), (2, 2)]),
        array(results=[(0, 0)], ended="cancelled"),
        array(
            *chunk(1, 0, 1, 2),
            *chunk(2, 1, 2, at=12.0, ended_at=13.0),
            results=[(0, 1), (1, 2), (2, 2)],
            faults=(fault(FaultKind.KILL),),
        ),
        replace(run(*TWICE), reasons=RETRIED),
        built_twice((9.0, 10.9)),
        built_twice((9.0, 10.9), (10.0, 10.5), (11.9, None)),
        run(start(ended_at=15.0), TWICE[1], faults=(fault(FaultKind.CUT, ended_at=14.0),)),
        run(
            *(start(number, at=number * 10.0, ended_at=None) for number in (1, 2, 3)),
            faults=tuple(fault(FaultKind.KILL, began_at=number * 10.0 + 1, ended_at=99.0) for number in (1, 2, 3)),
            first_end=end(1, "failed", "lost", attempt=3),
        ),
    ],
)
def test_what_is_right_or_explained_is_no_violation(evidence: Evidence) -> None:
    assert violations(evidence) == []


@pytest.mark.parametrize(
    ("evidence", "words"),
    [
        (run(start(), ids={1, 2}), "acknowledged as [1, 2]"),
        (run(start(), first_end=None), "never seen to end"),
        (run(start(), first_end=end(1, "failed", "trapped")), "ended as failed: trapped"),
        (run(start(), first_end=end(1, "failed", "lost")), "ended as failed: lost"),
        (run(start(), other_ends=[{**end(1), "finished": False}]), "a moment later"),
        (run(start(), last=end(1, attempt=2)), "in the end server1 says"),
        (replace(run(start()), ends={"server1": {}}), "server1 does not know it"),
        (run(start(), first_end=end(1, attempt=7)), "w1 has no start of attempt 7"),
        (run(start(), start(worker="w2", at=12.0)), "attempt 1 started twice"),
        (run(*TWICE), "no fault explains it"),
        (array(*chunk(1, 0), results=[(0, 1)], ended="cancelled"), "1 results of 3 tasks, twice [], missing [1, 2]"),
        (array(*chunk(1, 0, 1, 2), results=[(0, 1), (1, 1)]), "2 results of 3 tasks, twice [], missing [2]"),
        (array(*chunk(1, 0, 1, 2), results=[(0, 1), (1, 1), (1, 1), (2, 1)]), "twice [1]"),
        (array(*chunk(1, 0, 1), results=[(0, 1), (1, 1), (2, 1)]), "no start of attempt 1 at task 2"),
        (array(*chunk(1, 0, 1, 2), *chunk(2, 2, at=12.0), results=[(0, 1), (1, 1), (2, 1)]), "no fault explains it"),
        (run(start(ended_at=None), TWICE[1], program=FAILING), "no fault explains it"),
        (built_twice(), "no fault explains it"),
        (built_twice((9.0, 9.9)), "no fault explains it"),
        (built_twice((9.0, 10.9), (9.0, None)), "no fault explains it"),
        (built_twice((11.5, 11.9)), "no fault explains it"),
        (built_twice((9.0, 10.9), ended_at=None), "no fault explains it"),
        (run(*TWICE, faults=(fault(FaultKind.KILL, "w2"),)), "no fault explains it"),
        (run(*TWICE, faults=(fault(FaultKind.KILL, "nats1"),)), "no fault explains it"),
        (run(*TWICE, faults=(fault(FaultKind.PAUSE, "server1"),)), "no fault explains it"),
        (run(*TWICE, faults=(fault(FaultKind.KILL, began_at=1.0, ended_at=2.0),)), "no fault explains it"),
        (run(start(ended_at=15.0), TWICE[1], program=FAILING), "no fault explains it"),
        (
            replace(run(start(ended_at=15.0), TWICE[1]), reasons=RETRIED),
            "still ran",
        ),
    ],
)
def test_what_must_not_be_is_found(evidence: Evidence, words: str) -> None:
    found = violations(evidence)
    assert len(found) >= 1
    assert words in " ".join(found)


def test_two_keys_are_two_jobs() -> None:
    evidence = run(start())
    [one] = evidence.submissions
    found = violations(replace(evidence, submissions=[one, replace(one, key="another")]))
    assert found == ["job 1 is both key and another"]
