"""What happened in truth, which no leader knows: every start, how it went on, and what disturbed it meanwhile.

It holds that a task starts again only where a fault explains it, that only a current attempt's result is recorded, that
nobody forgets what is not kept, and that a loss never costs the user a retry.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.simulation.engine import Violation

from wasmgrid.core.job import BuildResult, TaskId, TaskResult
from wasmgrid.core.outcome import OutcomeKind
from wasmgrid.core.wire import Assign, Heartbeat, Held, Progress, RunWork
from wasmgrid.protocol import events
from wasmgrid.protocol.attemptlife import RETRIABLE

if TYPE_CHECKING:
    from tests.simulation.machine import Machine
    from tests.simulation.server import Server
    from tests.simulation.world import World

TERM_BITS = 32
FATAL = frozenset({"killed", "leaves"})


@dataclass(frozen=True, slots=True)
class Start:
    """A runner began an attempt; `stale`: it was assigned by a leader whose term was over already."""

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
        self._fates: dict[int, str] = {}
        self._assigned: dict[TaskId, list[int]] = defaultdict(list)
        self._stale: set[int] = set()
        self._given_up: set[int] = set()
        self._task_of: dict[int, TaskId] = {}
        self._disturbances: dict[str, list[Disturbance]] = defaultdict(list)
        self._failures: Counter[TaskId] = Counter()
        self._crashes: Counter[TaskId] = Counter()
        self._current_on: dict[str, dict[int, TaskId]] = defaultdict(dict)

    # ---- what the world tells

    def disturbed(self, worker: str, what: str, duration_s: float = 0.0) -> None:
        """Something happened to a worker now; it lasts so long."""
        now = self.world.engine.now
        self._disturbances[worker].append(Disturbance(now, now + duration_s, what))
        if what in FATAL:  # its start log will call all of these dead, also what had ended and was not acknowledged
            for attempt, held in self.world.machines[worker].startlog.items():
                if what == "killed" or attempt in self._fates:
                    self._crashes[TaskId(held.kind, held.id, held.index)] += 1
            self._current_on[worker].clear()

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
        task = task_of(message)
        if self.world.store.leadership.term > message.term:
            self._stale.add(message.attempt)
        if message.attempt not in self._assigned[task]:
            self._assigned[task].append(message.attempt)
            self.world.checks.order(server, worker_id, task)
        self.world.engine.note(
            server.name, "to %s: assign %s %s, seq %s", worker_id, short(task), named(message.attempt), message.seq
        )

    def asked_to_write(self, body: events.Body) -> None:
        """A leader wants this written. What it has given up for lost may go to others from then on."""
        ended = body.ended if isinstance(body, events.Record) else []
        self._given_up.update(one.attempt for one in ended if not (one.crashed or one.retried))

    def started(self, machine: Machine, held: Held) -> None:
        """A runner begins an attempt: the first of its task, or there is a reason."""
        engine = self.world.engine
        task = TaskId(held.kind, held.id, held.index)
        before = self.starts[task]
        stale = held.attempt in self._stale or self.world.store.leadership.term > held.attempt >> TERM_BITS
        engine.note(machine.name, "STARTS %s as %s%s", short(task), named(held.attempt), " (again)" if before else "")
        engine.record("starts", round(engine.now, 6), machine.name, task, held.attempt)
        if any((one.attempt, one.worker, one.life) == (held.attempt, machine.name, machine.life) for one in before):
            raise Violation(f"{machine.name} starts {short(task)} twice as {named(held.attempt)}")
        if before:
            excuse = self._excuse(task, before[-1], stale=stale) or self._comes_late(machine.name, held, before[-1])
            if excuse is None:
                starts = ", ".join(f"{named(one.attempt)} on {one.worker} at {one.at:.3f}" for one in before)
                raise Violation(f"{machine.name} starts {short(task)} again as {named(held.attempt)} ({starts}): why?")
            self.excused[excuse] += 1
        before.append(Start(held.attempt, machine.name, machine.life, engine.now, stale))
        self._current_on[machine.name][held.attempt] = task
        self._task_of[held.attempt] = task

    def ended(self, machine: Machine, result: TaskResult | BuildResult) -> None:
        """An attempt came to its end on its machine."""
        kind = result.outcome.kind
        task = self._task_of[result.attempt]
        self.world.engine.note(machine.name, "ended %s: %s", named(result.attempt), kind)
        self._current_on[machine.name].pop(result.attempt, None)
        if kind is OutcomeKind.LOST:
            self._crashes[task] += 1
            self._fates[result.attempt] = "crashed"
        elif isinstance(result, TaskResult) and result.module_missing:
            self._fates[result.attempt] = "module gone"
            self.rejections += 1
        elif task.kind == "run" and kind in RETRIABLE and not result.outcome.succeeded:
            self._failures[task] += 1
            self._fates[result.attempt] = "failed"
        elif task.kind == "build" and kind is OutcomeKind.CANCELLED:
            self._fates[result.attempt] = "cancelled"
        else:
            self._fates[result.attempt] = "ended"

    def crashes(self, task: TaskId) -> int:
        """How often a runner, or a whole agent, died with this task."""
        return self._crashes[task]

    # ---- rules

    def forgot(self, machine: Machine, attempt: int) -> None:
        """An agent forgets an attempt: where it had ended, what became of it is kept, or it counts no more."""
        self._current_on[machine.name].pop(attempt, None)
        if attempt not in self._fates:
            return
        task = self._task_of[attempt]
        rows = self.world.store.rows
        kept = task in rows.results or attempt in rows.ended.get(task, {})
        superseded = attempt in self._given_up or any(later > attempt for later in self._assigned[task])
        if kept or superseded or task.kind == "build" or rows.jobs[task.id].state is not None:
            return
        raise Violation(
            f"{machine.name} was told to forget {named(attempt)} of {short(task)} ({self._fates[attempt]}), "
            "which nobody has kept"
        )

    def committed(self, term: int, body: events.Body) -> None:
        """A leader of `term` had this written."""
        if not isinstance(body, events.Record):
            return
        for result in body.results:
            task = TaskId("run", result.job_id, result.index)
            self.world.engine.record("result", task, result.attempt, result.outcome.kind)
            self.world.engine.note("db", "%s %s: %s", short(task), named(result.attempt), result.outcome)
            self._check_current(term, task, result)
            self._check_outcome(task, result)
        for ended in body.ended:
            self.world.engine.note("db", "%s %s ended: %s", short(ended.task), named(ended.attempt), ended.reason)
            self._check_tries(ended.task)

    def _check_tries(self, task: TaskId) -> None:
        """Neither crashes nor the user's retries go on beyond their limits, whoever leads."""
        attempts = self.world.store.rows.ended[task].values()
        crashes, retries = sum(one.crashed for one in attempts), sum(one.retried for one in attempts)
        limit = self.world.settings.crash_limit
        if task.kind == "run" and (crashes > limit or retries > self.world.store.rows.jobs[task.id].spec.retries):
            raise Violation(f"{short(task)} crashed {crashes} times and was retried {retries} times")

    def _check_current(self, term: int, task: TaskId, result: TaskResult) -> None:
        """A term's own later assignment supersedes what came before."""
        later = [one for one in self._assigned[task] if one > result.attempt and one >> TERM_BITS == term]
        if result.worker_id and result.attempt and later:
            raise Violation(f"{short(task)}: {named(result.attempt)} is recorded after {named(later[-1])} was assigned")

    def _check_outcome(self, task: TaskId, result: TaskResult) -> None:
        spec = self.world.store.rows.jobs[task.id].spec
        kind = result.outcome.kind
        if kind is OutcomeKind.LOST:
            crashes = self._crashes[task] or max(
                (count for build, count in self._crashes.items() if build.kind == "build"), default=0
            )
            if crashes < self.world.settings.crash_limit:
                raise Violation(f"{short(task)} is called lost after {crashes} crashes")
        if result.worker_id and kind in RETRIABLE and not result.outcome.succeeded:
            failures = self._failures[task]
            if failures <= spec.retries and not self.world.store.rows.jobs[task.id].cancel_requested:
                by_time = kind is OutcomeKind.TIMED_OUT and spec.total_timeout_s is not None
                if not by_time:
                    raise Violation(f"{short(task)} failed {failures} times with {spec.retries} retries and is over")

    def _excuse(self, task: TaskId, last: Start, *, stale: bool) -> str | None:
        """Why a task that started as `last` starts again; None where nothing explains it."""
        fate = self._fates.get(last.attempt)
        if fate in {"crashed", "module gone", "failed", "cancelled"}:
            return fate
        if task.kind == "build" and fate == "ended":
            return "built again"
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


def task_of(message: Assign) -> TaskId:
    """The task that an assignment is for."""
    work = message.work
    if isinstance(work, RunWork):
        return TaskId("run", work.job_id, work.first)
    return TaskId("build", work.build_id)


def named(attempt: int) -> str:
    """An attempt id for people: term.counter."""
    return f"{attempt >> TERM_BITS}.{attempt & ((1 << TERM_BITS) - 1)}"


def short(task: TaskId) -> str:
    """A task for people."""
    return f"{task.kind} {task.id}" + (f"[{task.index}]" if task.index else "")
