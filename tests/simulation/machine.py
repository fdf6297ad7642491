"""A worker's machine: the real `Agent`, what its runners do in truth, and what its disk remembers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec.structs import replace
from tests.simulation.engine import Process

from wasmgrid.core.job import BuildResult, TaskResult
from wasmgrid.core.outcome import Outcome, OutcomeKind, exited
from wasmgrid.core.resources import Resources
from wasmgrid.core.wire import Assign, Cancel, DrainWorker, Held, Hello, ResultsAck, RunWork, Work
from wasmgrid.core.worker import Toolchain, WorkerInfo
from wasmgrid.protocol import agent_events as agents
from wasmgrid.protocol.agent import Agent

if TYPE_CHECKING:
    from tests.simulation.world import World

TICK_S = 0.5
KILLS_S = 0.02  # how long a runner takes to end when it is told to
DRAIN_S = 6.0
RUST = Toolchain(language="rust", identity="rust-1", version="1", ready=True)
LATER_RUST = Toolchain(language="rust", identity="rust-2", version="2", ready=True)


@dataclass(slots=True)
class Run:
    """A runner at work; `stopping` once it was told to end."""

    attempt: int
    work: Work
    stopping: bool = False


class Machine(Process):
    """A worker through all its lives. `bad`: whatever runs here crashes."""

    def __init__(self, world: World, info: WorkerInfo) -> None:
        super().__init__(world.engine, info.id)
        self.world = world
        self.info = info
        self.agent: Agent | None = None
        self.runs: dict[int, Run] = {}
        self.bad_until = 0.0
        self.ends_at: float | None = None
        self.reached_at = 0.0
        self.startlog: dict[int, Held] = {}
        self._modules: dict[str, None] = {}

    # ---- life

    def start(self, stays_s: float | None = None) -> None:
        """The agent starts; its start log tells what its former life left unsettled."""
        if self.alive:
            return
        self.life += 1
        self.alive, self.frozen_until, self.reached_at = True, 0.0, self.clock.now()
        died = [
            Held(attempt=held.attempt, kind=held.kind, id=held.id, index=held.index, phase="died")
            for held in self.startlog.values()
        ]
        self.startlog.clear()
        self.info = replace(self.info, incarnation=f"{self.name}-{self.life}")
        self.engine.note(self.name, "starts, life %s; died with the former: %s", self.life, [one.id for one in died])
        agent = self.agent = Agent(self.info, died=died, now=self.clock.now())
        self.ends_at = None
        if stays_s is not None:
            self.ends_at = self.engine.now + stays_s / self.clock.rate
            self.handle(agents.Lifetime(stays_s))
            self.timer(max(0.0, stays_s - DRAIN_S), self.drain)
        self._say_cache()
        self.perform(agent.introduce(self.clock.now()))
        self.timer(self.engine.between(0, TICK_S), self._tick)

    def kill(self) -> None:
        """SIGKILL, or the power is gone: the agent, and every runner with it."""
        self.engine.note(self.name, "is KILLED")
        self.world.ledger.disturbed(self.name, "killed")
        self._end()

    def leave(self) -> None:
        """SIGTERM past its deadline: what still runs is given back."""
        if self.agent is not None:
            self.engine.note(self.name, "leaves")
            self.world.ledger.disturbed(self.name, "leaves")
            self.perform(self.agent.leave())
            self._end()

    def _end(self) -> None:
        self.alive, self.agent = False, None
        self.life += 1
        self.runs.clear()

    def drain(self) -> None:
        """Finish what is held, take nothing more, go; by force after a while."""
        if self.agent is not None and not self.agent.draining:
            self.handle(agents.Drain())
        self.timer(DRAIN_S, self.leave)
        self._leave_when_idle()

    def _leave_when_idle(self) -> None:
        if self.agent is not None and self.agent.idle:
            self.leave()
        else:
            self.timer(TICK_S, self._leave_when_idle)

    def _tick(self) -> None:
        if not self.world.network.is_cut(self.name):
            self.reached_at = self.clock.now()
            self.handle(agents.Reached())
        self.handle(agents.Tick())
        self.world.checks.lease(self)
        self.timer(TICK_S, self._tick)

    def reconnected(self) -> None:
        """The fabric came back."""
        self.reached_at = self.clock.now()
        self.handle(agents.Reconnected())

    def change(self) -> None:
        """A toolchain was installed, or another one."""
        other = LATER_RUST if self.info.toolchains == [RUST] else RUST
        self.info = replace(self.info, toolchains=[other])
        self.handle(agents.Described(self.info))

    # ---- the agent

    def hear(self, message: Hello | Assign | Cancel | ResultsAck | DrainWorker) -> None:
        """A leader speaks."""
        self.handle(agents.Heard(message))

    def handle(self, event: agents.Event) -> None:
        """The agent hears of it."""
        if self.agent is not None:
            self.perform(self.agent.handle(event, self.clock.now()))

    def perform(self, commands: list[agents.Command]) -> None:
        """Say, begin, stop, forget."""
        for command in commands:
            match command:
                case agents.Say(message):
                    self.world.to_leaders(self, message)
                case agents.Begin(attempt, work):
                    self._begin(attempt, work)
                case agents.Stop(attempt, reason):
                    self._stop(attempt, reason)
                case agents.Forget(attempt):
                    self.world.ledger.forgot(self, attempt)
                    self.startlog.pop(attempt, None)
                case agents.DrainAsked():
                    self.drain()

    def _say_cache(self) -> None:
        self.handle(agents.CacheChanged(tuple(self._modules), 1000 * len(self._modules)))

    # ---- what runs here in truth

    def _begin(self, attempt: int, work: Work) -> None:
        held = (
            Held(attempt=attempt, kind="run", id=work.job_id, index=work.first, gpus=work.gpus)
            if isinstance(work, RunWork)
            else Held(attempt=attempt, kind="build", id=work.build_id)
        )
        self.startlog[attempt] = held
        self.runs[attempt] = Run(attempt, work)
        self.world.ledger.started(self, held)
        self.world.checks.capacity(self)
        self.world.checks.suits(self, work)
        self.handle(agents.Advanced(attempt=attempt, phase="running", started_at=1.0 + self.engine.now))
        outcome, duration_s, missing = self._fate(held, work)
        self.timer(duration_s, self._finish, attempt, outcome, missing)

    def _fate(self, held: Held, work: Work) -> tuple[Outcome, float, bool]:
        """How this attempt will end, after how long, and whether its module turns out to be gone."""
        engine = self.engine
        if engine.chance("runner crash", 0.02) or engine.now < self.bad_until:
            return Outcome(kind=OutcomeKind.LOST, message="the runner crashed"), engine.between(0.01, 1), False
        if not isinstance(work, RunWork):
            fails = self.world.source_fails(work.source)
            return Outcome(kind=OutcomeKind.BUILD_FAILED) if fails else exited(0), 0.5, False
        if engine.chance("module gone", 0.006):
            return Outcome(kind=OutcomeKind.REJECTED, message="its module is gone"), 0.01, True
        outcome, duration_s = self.world.fate(work)
        return outcome, duration_s, False

    def _finish(self, attempt: int, outcome: Outcome, missing: bool) -> None:
        run = self.runs.get(attempt)
        if run is None or run.stopping:
            return
        self._end_run(run, outcome, missing=missing)

    def _end_run(self, run: Run, outcome: Outcome, *, missing: bool = False) -> None:
        self.runs.pop(run.attempt, None)
        self.startlog.pop(run.attempt, None)
        work = run.work
        result: TaskResult | BuildResult
        if isinstance(work, RunWork):
            result = TaskResult(
                job_id=work.job_id,
                index=work.first,
                attempt=run.attempt,
                worker_id=self.name,
                outcome=outcome,
                module_missing=missing,
                started_at=1.0,
            )
            if outcome.kind is not OutcomeKind.LOST and not missing:
                self._modules = {work.module_sha256: None, **self._modules}
        else:
            module = f"{work.build_id:064x}" if outcome.succeeded else None
            result = BuildResult(
                build_id=work.build_id, attempt=run.attempt, worker_id=self.name, outcome=outcome, module_sha256=module
            )
        self.world.ledger.ended(self, result)
        self.handle(agents.Ended(result))
        self._say_cache()

    def _stop(self, attempt: int, reason: agents.StopReason) -> None:
        run = self.runs.get(attempt)
        if run is None or run.stopping:
            return
        run.stopping = True
        self.timer(KILLS_S, self._stopped, run, reason)

    def _stopped(self, run: Run, reason: agents.StopReason) -> None:
        self.runs.pop(run.attempt, None)
        if reason is agents.StopReason.CANCELLED:
            self._end_run(run, Outcome(kind=OutcomeKind.CANCELLED, message="cancelled on request"))

    @property
    def used(self) -> Resources:
        """What runs here takes of the machine; a runner that is being ended counts no more."""
        return sum((run.work.need for run in self.runs.values() if not run.stopping), Resources())
