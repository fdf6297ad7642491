"""What happened in truth, which no leader knows: every start, how it went on, and what disturbed it meanwhile.

It holds that a task starts again only where a fault explains it, that only a current attempt's result is recorded, that
nobody forgets what is not kept, and that a loss never costs the user a retry.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from tests.simulation.engine import Violation

from wasmgrid.core.job import BuildResult, TaskId, TaskRange, TaskResult
from wasmgrid.core.outcome import OutcomeKind
from wasmgrid.core.ranges import Run
from wasmgrid.core.wire import Assign, Cancel, Heartbeat, Held, Progress, RunWork
from wasmgrid.protocol import events
from wasmgrid.protocol.attemptlife import RETRIABLE
from wasmgrid.protocol.buildlife import NOBODY_WAITS

if TYPE_CHECKING:
    from tests.simulation.machine import Machine
    from tests.simulation.server import Server
    from tests.simulation.world import World

TERM_BITS = 32
FATAL = frozenset({"killed", "leaves"})


class Start(NamedTuple):
    """A runner began a task; `stale`: it was assigned by a leader whose term was over already."""

    attempt: int
    worker: str
    life: int
    at: float
    stale: bool


@dataclass(slots=True)
class Disturbance:
    """Something happened to a worker, or to what it said or was told."""

    at: float
    until: float
    what: str


class Ledger:
    """The truth of one world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.starts: dict[TaskId, list[Start]] = defaultdict(list)
        self.excused: Counter[str] = Counter()
        self.rejections = 0
        self._fates: dict[int, dict[int, str]] = {}  # attempt -> index -> how it ended there
        self._assigned: dict[TaskId, list[int]] = defaultdict(list)  # by time: an old leader may speak after a new one
        self._known: dict[int, tuple[str, int]] = {}  # attempt -> kind, number
        self._stale: set[int] = set()
        self._abandoned: set[int] = set()
        self._given_up: set[tuple[int, int]] = set()  # (attempt, index)
        self._disturbances: dict[str, list[Disturbance]] = defaultdict(list)
        self._failures: Counter[TaskId] = Counter()
        self._crashes: Counter[TaskId] = Counter()

    # ---- what the world tells

    def disturbed(self, worker: str, what: str, duration_s: float = 0.0) -> None:
        """Something happened to a worker now; it lasts so long."""
        now = self.world.engine.now
        self._disturbances[worker].append(Disturbance(now, now + duration_s, what))
        if what == "killed":  # its start log knows what ran
            for held in self.world.machines[worker].runners.startlog.values():
                if held.running is not None or held.kind == "build":
                    self._crashes[TaskId(held.kind, held.id, held.running or 0)] += 1

    def is_disturbed(self, worker: str, within_s: float) -> bool:
        """Whether something happened to the worker so recently."""
        return any(one.until > self.world.engine.now - within_s for one in self._disturbances[worker])

    def message_hurt(self, fault: str, sender: str, to: str, message: object) -> None:
        """A message was lost, doubled or late. One heartbeat is nothing, the next one says the same."""
        worker = sender if sender in self.world.machines else to
        kind = "heartbeat" if isinstance(message, Heartbeat | Progress) else type(message).__name__
        self.disturbed(worker, f"{fault}: {kind}")

    def assigned(self, server: Server, worker_id: str, message: Assign) -> None:
        """A leader sends an assignment."""
        engine, attempt = self.world.engine, message.attempt
        kind, number, first, count = tasks_of(message)
        if self.world.store.leadership.term > message.term:
            self._stale.add(attempt)
        if attempt not in self._known:
            self._known[attempt] = (kind, number)
            for index in range(first, first + count):
                self._assigned[TaskId(kind, number, index)].append(attempt)
            self.world.checks.order(server, worker_id, message)
        if engine.traced:
            what = f"{short(TaskId(kind, number, first))}" + (f" and {count - 1} more" if count > 1 else "")
            engine.note(server.name, "to %s: assign %s %s, seq %s", worker_id, what, named(attempt), message.seq)

    def told_to_stop(self, message: Cancel) -> None:
        """A leader stops an attempt; a build that nobody waited for may begin anew at once, for whoever comes then."""
        if message.reason == NOBODY_WAITS:
            self._abandoned.add(message.attempt)

    def asked_to_write(self, body: events.Body) -> None:
        """A leader wants this written. What it has given up for lost may go to others from then on."""
        ended = body.ended if isinstance(body, events.Record) else []
        for one in ended:
            if not (one.crashed or one.retried):
                self._given_up.update((one.attempt, one.task.index + more) for more in range(one.count))

    def started(self, machine: Machine, held: Held, index: int, at: float) -> None:
        """A runner begins a task, at `at`: the first start of it, or there is a reason."""
        engine, attempt = self.world.engine, held.attempt
        task = TaskId(held.kind, held.id, index)
        before = self.starts[task]
        stale = attempt in self._stale or self.world.store.leadership.term > attempt >> TERM_BITS
        if engine.traced:
            again = " (again)" if before else ""
            engine.note(machine.name, "STARTS %s as %s%s", short(task), named(attempt), again)
        if before or index == held.index:
            engine.record("starts", round(at, 6), machine.name, task, attempt)
        if before:
            if any((one.attempt, one.worker, one.life) == (attempt, machine.name, machine.life) for one in before):
                raise Violation(f"{machine.name} starts {short(task)} twice as {named(attempt)}")
            excuse = self._excuse(task, before[-1], stale=stale) or self._comes_late(machine.name, held, before[-1])
            if excuse is None:
                starts = ", ".join(f"{named(one.attempt)} on {one.worker} at {one.at:.3f}" for one in before)
                raise Violation(f"{machine.name} starts {short(task)} again as {named(attempt)} ({starts}): why?")
            self.excused[excuse] += 1
        before.append(Start(attempt, machine.name, machine.life, at, stale))

    def ended(self, machine: Machine, result: TaskResult | BuildResult) -> None:
        """A task came to its end on its machine."""
        kind = result.outcome.kind
        if isinstance(result, BuildResult):
            task, missing = TaskId("build", result.build_id), False
        else:
            task, missing = TaskId("run", result.job_id, result.index), result.module_missing
        if self.world.engine.traced:
            self.world.engine.note(machine.name, "ended %s, %s: %s", named(result.attempt), short(task), kind)
        if kind is OutcomeKind.LOST:
            self._crashes[task] += 1
            fate = "crashed"
        elif missing:
            fate = "module gone"
            self.rejections += 1
        elif task.kind == "run" and kind in RETRIABLE and not result.outcome.succeeded:
            self._failures[task] += 1
            fate = "failed"
        elif kind is OutcomeKind.CANCELLED:
            fate = "cancelled"
        else:
            fate = "ended"
        self._fates.setdefault(result.attempt, {})[task.index] = fate

    # ---- rules

    def forgot(self, machine: Machine, attempt: int, runs: Iterable[Run] | None = None) -> None:
        """An agent forgets an attempt, or these tasks of it: what ended is kept in the store, or counts no more."""
        fates = self._fates.get(attempt)
        if not fates:
            return
        kind, number = self._known[attempt]
        indexes = list(fates) if runs is None else [one for first, count in runs for one in range(first, first + count)]
        rows = self.world.store.rows
        if kind == "build" or rows.jobs[number].state is not None:
            return
        for index in indexes:
            task = TaskId(kind, number, index)
            if index not in fates or task in rows.results or attempt in rows.ended.get(task, {}):
                continue
            superseded = (attempt, index) in self._given_up or max(self._assigned[task]) > attempt
            if not superseded:
                raise Violation(
                    f"{machine.name} was told to forget {named(attempt)} of {short(task)} ({fates[index]}), "
                    "which nobody has kept"
                )

    def committed(self, term: int, body: events.Body) -> None:
        """A leader of `term` had this written."""
        if not isinstance(body, events.Record):
            return
        engine = self.world.engine
        for result in body.results:
            task = TaskId("run", result.job_id, result.index)
            engine.record("result", task, result.attempt, result.outcome.kind)
            if engine.traced:
                engine.note("db", "%s %s: %s", short(task), named(result.attempt), result.outcome)
            self._check_current(term, task, result)
            self._check_outcome(task, result)
        for block in body.ranges:
            engine.record("range", block.job_id, block.first, block.count, block.attempt, block.outcome.kind)
            engine.note("db", "run %s[%s+%s] %s", block.job_id, block.first, block.count, block.outcome)
            for index in range(block.first, block.first + block.count):
                self._check_current(term, TaskId("run", block.job_id, index), block)
                self._check_outcome(TaskId("run", block.job_id, index), block)
        for ended in body.ended:
            if engine.traced:
                what = f"{short(ended.task)} and {ended.count - 1} more" if ended.count > 1 else short(ended.task)
                engine.note("db", "%s %s ended: %s", what, named(ended.attempt), ended.reason)
            if ended.crashed or ended.retried:
                self._check_tries(ended.task)

    def _check_tries(self, task: TaskId) -> None:
        """Neither crashes nor the user's retries go on beyond their limits, whoever leads."""
        attempts = self.world.store.rows.ended[task].values()
        crashes, retries = sum(one.crashed for one in attempts), sum(one.retried for one in attempts)
        limit = self.world.settings.crash_limit
        if task.kind == "run" and (crashes > limit or retries > self.world.store.rows.jobs[task.id].spec.retries):
            raise Violation(f"{short(task)} crashed {crashes} times and was retried {retries} times")

    def _check_current(self, term: int, task: TaskId, result: TaskResult | TaskRange) -> None:
        """A term's own later assignment supersedes what came before."""
        if not (result.worker_id and result.attempt) or max(self._assigned[task]) <= result.attempt:
            return
        later = [one for one in self._assigned[task] if one > result.attempt and one >> TERM_BITS == term]
        if later:
            raise Violation(f"{short(task)}: {named(result.attempt)} is recorded after {named(later[-1])} was assigned")

    def _check_outcome(self, task: TaskId, result: TaskResult | TaskRange) -> None:
        kind = result.outcome.kind
        if result.outcome.succeeded:
            return
        spec = self.world.store.rows.jobs[task.id].spec
        if kind is OutcomeKind.LOST:
            builds = [count for build, count in self._crashes.items() if build.kind == "build"]
            crashes = max(self._crashes[task], *builds, 0)  # its module may have been lost, and then the build of it
            if crashes < self.world.settings.crash_limit:
                raise Violation(f"{short(task)} is called lost after {crashes} crashes")
        if result.worker_id and kind in RETRIABLE and not result.outcome.succeeded:
            failures = self._failures[task]
            if failures <= spec.retries and not self.world.store.rows.jobs[task.id].cancel_requested:
                by_time = kind is OutcomeKind.TIMED_OUT and spec.total_timeout_s is not None
                if not by_time and spec.max_fails is None:  # a job that failed too often tries nothing again
                    raise Violation(f"{short(task)} failed {failures} times with {spec.retries} retries and is over")

    def _excuse(self, task: TaskId, last: Start, *, stale: bool) -> str | None:
        """Why a task that started as `last` starts again; None where nothing explains it."""
        fate = self._fates.get(last.attempt, {}).get(task.index)
        if fate in {"crashed", "module gone", "failed"} or (fate == "cancelled" and task.kind == "build"):
            return fate
        if fate == "cancelled" and last.attempt >> TERM_BITS < self.world.store.leadership.term:
            return "stopped by a leader that was over"
        if task.kind == "build" and fate == "ended":
            return "built again"
        if last.attempt in self._abandoned:
            return "nobody waited for it"
        if stale or last.stale:
            return "a leader that was over"
        now, settings = self.world.engine.now, self.world.settings
        since = last.at - settings.lease_s
        silent_s, beats = 0.0, 0
        for one in self._disturbances[last.worker]:
            if one.until < since:
                continue
            if one.what in FATAL and one.at >= last.at:
                return one.what
            if one.until > one.at:
                silent_s += min(one.until, now) - max(one.at, since)
            elif one.what.endswith("heartbeat"):
                beats += 1
            else:
                return one.what
        if silent_s + beats * settings.heartbeat_s > settings.lease_s - 2.5 * settings.heartbeat_s:
            return "silence"
        return None

    def _comes_late(self, worker: str, held: Held, last: Start) -> str | None:
        """Held up until its task had gone elsewhere: on the way to a machine that stood still, or was cut off."""
        if held.attempt > last.attempt:
            return None
        since = self.world.engine.now - 2 * self.world.settings.lease_s
        held_up = any(one.until > since for one in self._disturbances[worker] if one.what not in FATAL)
        return "an assignment that came late" if held_up else None


def tasks_of(message: Assign) -> tuple[str, int, int, int]:
    """What an assignment is for: kind, number, first index, how many."""
    work = message.work
    if isinstance(work, RunWork):
        return "run", work.job_id, work.first, work.count
    return "build", work.build_id, 0, 1


def named(attempt: int) -> str:
    """An attempt id for people: term.counter."""
    return f"{attempt >> TERM_BITS}.{attempt & ((1 << TERM_BITS) - 1)}"


def short(task: TaskId) -> str:
    """A task for people."""
    return f"{task.kind} {task.id}" + (f"[{task.index}]" if task.index else "")
