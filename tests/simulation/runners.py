"""What runs on a machine in truth: the tasks of a chunk one after the other, their results handed over in batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace
from tests.simulation.attempt import Begun, Run, joined

from wasmgrid.core.job import BuildResult, Stats, TaskResult
from wasmgrid.core.outcome import Outcome, OutcomeKind, exited
from wasmgrid.core.ranges import Run as Indexes
from wasmgrid.core.resources import Resources
from wasmgrid.core.wire import Held, RunWork, Work
from wasmgrid.protocol import agent_events as agents

if TYPE_CHECKING:
    from tests.simulation.machine import Machine

KILLS_S = 0.02  # how long a runner takes to end when it is told to
FLUSH_S = 0.01  # a result waits so long for others to travel with
STEP_S = 0.005  # what ends within so long is one step of the engine


class Runners:
    """All runners of one machine, and what its start log keeps of them."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._engine = machine.engine
        self.runs: dict[int, Run] = {}
        self.startlog: dict[int, Held] = {}

    @property
    def used(self) -> Resources:
        """What runs here takes of the machine; a runner that is being ended counts no more."""
        return sum((run.work.need for run in self.runs.values() if not run.stopping), Resources())

    # ---- what the agent wants

    def begin(self, attempt: int, work: Work) -> None:
        """Start the first task of the attempt."""
        first, count = (work.first, work.count) if isinstance(work, RunWork) else (0, 1)
        run = self.runs[attempt] = Run(attempt, work, first, first + count)
        self.startlog[attempt] = run.held
        self._machine.world.checks.began(self._machine, run)
        self._draw(run, count)
        self._step(run)
        self._machine.handle(
            agents.Advanced(attempt=attempt, phase="running", started_at=1.0 + self._engine.now, running=run.running)
        )

    def stop(self, attempt: int, reason: agents.StopReason) -> None:
        """End what runs of the attempt, and begin nothing more of it."""
        run = self.runs.get(attempt)
        if run is None or run.stopping:
            return
        self._note(run, stops=True)
        self._take_back(run)
        run.stopping = True
        if reason is not agents.StopReason.CANCELLED:
            run.ended.clear()
        self._machine.timer(KILLS_S, self._stopped, run, reason)

    def settled(self, attempt: int) -> None:
        """The start log need not know of it any more."""
        self.startlog.pop(attempt, None)

    def die(self) -> None:
        """Everything here ends at once; only the start log stays."""
        for run in list(self.runs.values()):
            if not self._machine.frozen:  # else nothing has happened since
                self._note(run)
            if run.attempt in self.startlog:
                self.startlog[run.attempt] = run.held if self._remembers(run) else replace(run.held, running=None)
        self.runs.clear()

    def _remembers(self, run: Run) -> bool:
        """Whether the log knows which task of a chunk ran; of a single one it always does."""
        return run.held.count == 1 or self._engine.random.random() < 0.5

    def remembered(self) -> list[Held]:
        """What a new life finds in the log of the one before, which begins anew."""
        died = [
            Held(
                attempt=held.attempt,
                kind=held.kind,
                id=held.id,
                index=held.index,
                count=held.count,
                running=held.running,
                phase="died",
            )
            for held in self.startlog.values()
        ]
        self.startlog.clear()
        return died

    # ---- one task after the other

    def _draw(self, run: Run, count: int) -> None:
        """What the dice have in store for the attempt."""
        engine = self._engine
        if engine.chance("runner crash", 0.02 if count == 1 else 0.06):
            run.crashes_at = run.next + engine.random.randrange(count)
        elif isinstance(run.work, RunWork):
            run.missing = engine.chance("module gone", 0.006)

    def _step(self, run: Run) -> None:
        """Begin the next task, with those after it that are over in a moment."""
        engine, rate = self._engine, self._machine.clock.rate
        at = engine.now
        while run.next < run.end and at - engine.now < STEP_S:
            outcome, duration_s = self._fate(run, run.next)
            begun = Begun(run.next, at, at + duration_s / rate, outcome, run.missing)
            run.step.append(begun)
            run.next += 1
            at = begun.ends_at
        self._note(run)
        self._machine.timer((at - engine.now) * rate, self._step_over, run)
        slice_s = run.work.slice_s if isinstance(run.work, RunWork) else 0.0
        if run.next < run.end and run.step and run.step[0].ends_at - engine.now > 2 * slice_s:
            self._machine.timer(2 * slice_s, self._hand_back, run, run.step[0].index)

    def _fate(self, run: Run, index: int) -> tuple[Outcome, float]:
        """How this task will end, and after how long."""
        engine, work = self._engine, run.work
        if engine.now < self._machine.bad_until or run.crashes_at == index:
            longest = 1.0 if run.end - run.next == 1 else 0.05
            return Outcome(kind=OutcomeKind.LOST, message="the runner crashed"), engine.between(0.01, longest)
        if run.missing:
            return Outcome(kind=OutcomeKind.REJECTED, message="its module is gone"), 0.01
        if isinstance(work, RunWork):
            return self._machine.world.fate(work, index)
        fails = self._machine.world.source_fails(work.source)
        return (Outcome(kind=OutcomeKind.BUILD_FAILED) if fails else exited(0)), 0.5

    def _note(self, run: Run, *, stops: bool = False) -> None:
        """Tell the ledger what of this step has begun or ended by now; what is about to be stopped has not ended."""
        now, ledger = self._engine.now + 1e-9, self._machine.world.ledger
        while run.step and run.step[0].starts_at <= now and not run.stopping:
            one = run.step[0]
            if not one.noted:
                one.noted = True
                ledger.started(self._machine, run.held, one.index, one.starts_at)
            if one.ends_at > now or (stops and (len(run.step) == 1 or run.step[1].starts_at > now)):
                return
            run.step.popleft()
            self._ended(run, one)

    def _take_back(self, run: Run) -> None:
        """What of this step has not begun yet will not."""
        while run.step and not run.step[-1].noted:
            run.next = run.step.pop().index

    def _step_over(self, run: Run) -> None:
        if self.runs.get(run.attempt) is not run or run.stopping:
            return
        self._note(run)
        if self.runs.get(run.attempt) is run and not run.step and run.next < run.end and not run.stopping:
            self._step(run)

    def _hand_back(self, run: Run, index: int) -> None:
        """A task turned out long: what comes after it may run elsewhere."""
        if self.runs.get(run.attempt) is not run or run.stopping or run.running != index:
            return
        self._take_back(run)
        rest, run.end = (run.next, run.end - run.next), run.next
        if rest[1]:
            self._give_back(run, rest)

    def _give_back(self, run: Run, rest: Indexes) -> None:
        self._engine.note(self._machine.name, "gives back %s of %s", rest, run.attempt)
        self._machine.handle(agents.Returned(run.attempt, [rest]))

    # ---- ends

    def _ended(self, run: Run, one: Begun) -> None:
        work = run.work
        is_last = run.next == run.end and not run.step
        if is_last:
            self.runs.pop(run.attempt, None)
            self.startlog.pop(run.attempt, None)
        if not isinstance(work, RunWork):
            self._build_ended(run, one.outcome)
            return
        result = TaskResult(
            job_id=work.job_id,
            index=one.index,
            attempt=run.attempt,
            worker_id=self._machine.name,
            outcome=one.outcome,
            module_missing=one.missing,
            started_at=1.0 + one.starts_at,
            finished_at=1.0 + one.ends_at,
            stats=Stats(wall_ms=(one.ends_at - one.starts_at) * 1000, module_cached=True),
            return_value="1" if work.function and one.outcome.succeeded else None,
        )
        if one.outcome.kind is not OutcomeKind.LOST and not one.missing:
            self._machine.has_module(work.module_sha256)
        run.ended.append(result)
        if is_last or one.outcome.kind is OutcomeKind.LOST:
            self._flush(run)
        elif len(run.ended) == 1:
            self._machine.timer(FLUSH_S, self._flush, run)

    def _build_ended(self, run: Run, outcome: Outcome) -> None:
        assert not isinstance(run.work, RunWork)
        module = f"{run.work.build_id:064x}" if outcome.succeeded else None
        result = BuildResult(
            build_id=run.work.build_id,
            attempt=run.attempt,
            worker_id=self._machine.name,
            outcome=outcome,
            module_sha256=module,
        )
        self._machine.world.ledger.ended(self._machine, result)
        self._machine.handle(agents.Ended(result))

    def _flush(self, run: Run) -> None:
        """Hand over what ended."""
        if not run.ended:
            return
        results, run.ended = run.ended, []
        for result in results:
            self._machine.world.ledger.ended(self._machine, result)
        singles, ranges = joined(results)
        self._machine.handle(agents.Ended(results=singles, ranges=ranges))
        self._machine.say_cache()

    def _stopped(self, run: Run, reason: agents.StopReason) -> None:
        if self.runs.get(run.attempt) is run:
            del self.runs[run.attempt]
            self.startlog.pop(run.attempt, None)
        if reason is not agents.StopReason.CANCELLED:
            return
        rest = (run.next, run.end - run.next)
        run.end = run.next
        cancelled = Outcome(kind=OutcomeKind.CANCELLED, message="cancelled on request")
        if run.step:
            self._ended(run, Begun(run.step.popleft().index, self._engine.now, self._engine.now, cancelled))
        self._flush(run)
        if rest[1]:
            self._give_back(run, rest)
