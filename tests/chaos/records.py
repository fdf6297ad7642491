"""What happened in a run, for the checker: jobs, starts, faults. Times are seconds since 1970, of one clock."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


class FaultKind(enum.StrEnum):
    """What is done to a part."""

    KILL = "kill -9, started again"
    RESTART = "orderly stop, started again"
    PAUSE = "SIGSTOP of the process, resumed"
    FREEZE = "SIGSTOP of the process and all below it, resumed"
    RUNNER = "kill -9 of a runner"
    CUT = "network cut both ways, healed"
    CUT_OUT = "network cut one way, out"
    CUT_IN = "network cut one way, in"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault: what, to which part, from when until it was undone."""

    kind: FaultKind
    target: str
    began_at: float
    ended_at: float

    def __str__(self) -> str:
        return f"{self.began_at:.2f} to {self.ended_at:.2f}: {self.target}: {self.kind}"


@dataclass(frozen=True, kw_only=True, order=True)
class Start:
    """One start of a task, from a worker's own log. `ended_at` None: the log does not say; its life ended first.

    Of a task in a chunk `at` is when the chunk began: the log does not know more.
    """

    attempt: int
    worker: str
    kind: str  # run | build
    id: int
    index: int
    at: float
    ended_at: float | None = None


@dataclass(frozen=True, kw_only=True)
class TaskEnd:
    """The result of one task of an array, as a server tells it in the end."""

    index: int
    attempt: int
    worker: str
    outcome: str


@dataclass(frozen=True)
class Program:
    """A job that clients submit: its request without a key, and whether a finished job is what it must give.

    `own_failures`: how often it fails by itself and is tried again. `cancel_after_s`: when its client cancels it.
    `tasks`: how many it is where it is an array, from 0 on.
    """

    name: str
    spec: Json
    right: Callable[[Json], bool]
    own_failures: int = 0
    cancel_after_s: float | None = None
    tasks: int | None = None


@dataclass
class Submission:
    """One job as its client knows it: acknowledged ids (one, where all is well) and the first end that it saw."""

    key: str
    program: Program
    ids: set[int] = field(default_factory=set)
    acknowledged_at: float = 0.0
    cancel_acknowledged_at: float | None = None
    first_end: Json | None = None
    first_end_at: float = 0.0
    other_ends: list[Json] = field(default_factory=list)  # later sights of the end that were not the first one's


def end_of(job: Json) -> Json:
    """What of a finished job's JSON must never change: all of it but hints."""
    return {key: value for key, value in job.items() if key not in {"state_reason", "warnings"}}
