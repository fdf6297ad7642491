"""What happens to an agent, and what it wants done."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from wasmgrid.core.job import BuildResult, TaskRange, TaskResult
from wasmgrid.core.ranges import Run
from wasmgrid.core.wire import Assign, Cancel, DrainWorker, Hello, Message, ResultsAck, Work
from wasmgrid.core.worker import WorkerInfo


class StopReason(StrEnum):
    """Why an attempt is stopped from outside."""

    CANCELLED = "cancelled"  # its result will say so
    SUPERSEDED = "superseded"  # it counts no more: no result
    LEASE_LAPSED = "lease_lapsed"  # the fabric is out of reach: others may run it by now, no result


# ---- events


class Heard(msgspec.Struct, frozen=True):
    """The leader said something."""

    message: Hello | Assign | Cancel | ResultsAck | DrainWorker


class Reached(msgspec.Struct, frozen=True):
    """The fabric answered: what this worker says arrives."""


class Reconnected(msgspec.Struct, frozen=True):
    """The connection was lost and is back: messages may be missing on both sides."""


class Advanced(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt is in a new phase, or has news for people about it. `running` is the task of it that runs now."""

    attempt: int
    phase: str
    detail: str = ""
    started_at: float | None = None
    running: int | None = None


class Ended(msgspec.Struct, frozen=True):
    """An attempt has its result, or tasks of one attempt have theirs: `results` and `ranges`, as they end."""

    result: TaskResult | BuildResult | None = None
    results: list[TaskResult] = []
    ranges: list[TaskRange] = []


class Returned(msgspec.Struct, frozen=True):
    """These tasks of an attempt were not begun, and will not run here."""

    attempt: int
    rest: list[Run]


class Described(msgspec.Struct, frozen=True):
    """The worker says something new of itself (a toolchain was installed)."""

    info: WorkerInfo


class CacheChanged(msgspec.Struct, frozen=True):
    """Modules were precompiled here or dropped: their digests, newest first, and their bytes on disk."""

    modules: tuple[str, ...]
    bytes: int


class Lifetime(msgspec.Struct, frozen=True):
    """The worker stays only so long from now on."""

    remaining_s: float


class Drain(msgspec.Struct, frozen=True):
    """Finish what is held, take nothing more."""


class Tick(msgspec.Struct, frozen=True):
    """Time went by."""


Event = Heard | Reached | Reconnected | Advanced | Ended | Returned | Described | CacheChanged | Lifetime | Drain | Tick


# ---- commands


class Say(msgspec.Struct, frozen=True):
    """Send to the leader."""

    message: Message


class Begin(msgspec.Struct, frozen=True):
    """Start this attempt."""

    attempt: int
    work: Work


class Stop(msgspec.Struct, frozen=True):
    """Stop this attempt. Only a cancelled one is heard of again: `Ended` for what ran, `Returned` for the rest."""

    attempt: int
    reason: StopReason


class Forget(msgspec.Struct, frozen=True):
    """The attempt is settled: what is kept of it on disk may go."""

    attempt: int


class DrainAsked(msgspec.Struct, frozen=True):
    """A person asked, through the leader, that this worker finishes what it holds and ends."""


Command = Say | Begin | Stop | Forget | DrainAsked
