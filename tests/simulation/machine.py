"""A worker's machine: the real `Agent`, what its runners do in truth, and what its disk remembers."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from msgspec.structs import replace
from tests.simulation.engine import Process
from tests.simulation.network import LATE_S
from tests.simulation.runners import Runners

from wasmgrid.core.wire import Assign, Cancel, DrainWorker, Hello, Message, Results, ResultsAck, Returned
from wasmgrid.core.worker import Toolchain, WorkerInfo
from wasmgrid.protocol import agent_events as agents
from wasmgrid.protocol.agent import Agent

if TYPE_CHECKING:
    from tests.simulation.world import World

TICK_S = 0.5
DRAIN_S = 6.0
RUST = Toolchain(language="rust", identity="rust-1", version="1", ready=True)
LATER_RUST = Toolchain(language="rust", identity="rust-2", version="2", ready=True)


class Machine(Process):
    """A worker through all its lives. `bad`: whatever runs here crashes."""

    def __init__(self, world: World, info: WorkerInfo) -> None:
        super().__init__(world.engine, info.id)
        self.world = world
        self.info = info
        self.agent: Agent | None = None
        self.runners = Runners(self)
        self.bad_until = 0.0
        self.ends_at: float | None = None
        self.reached_at = 0.0
        self._modules: dict[str, None] = {}

    # ---- life

    def start(self, stays_s: float | None = None) -> None:
        """The agent starts; its start log tells what its former life left unsettled."""
        if self.alive:
            return
        self.life += 1
        self.alive, self.frozen_until, self.reached_at = True, 0.0, self.clock.now()
        died = self.runners.remembered()
        self.info = replace(self.info, incarnation=f"{self.name}-{self.life}")
        self.engine.note(self.name, "starts, life %s; died with the former: %s", self.life, [one.id for one in died])
        agent = self.agent = Agent(self.info, died=died, now=self.clock.now())
        self.ends_at = None
        if stays_s is not None:
            self.ends_at = self.engine.now + stays_s / self.clock.rate
            self.handle(agents.Lifetime(stays_s))
            self.timer(max(0.0, stays_s - DRAIN_S), self.drain)
        self.say_cache()
        self.perform(agent.introduce(self.clock.now()))
        self.timer(self.engine.between(0, TICK_S), self._tick)

    def kill(self) -> None:
        """SIGKILL, or the power is gone: the agent, and every runner with it."""
        self.engine.note(self.name, "is KILLED")
        self.runners.die()
        self.world.ledger.disturbed(self.name, "killed")
        self._end()

    def leave(self) -> None:
        """SIGTERM past its deadline: what still runs is given back."""
        if self.agent is not None:
            self.engine.note(self.name, "leaves")
            self.world.ledger.disturbed(self.name, "leaves")
            self.runners.die()
            self.perform(self.agent.leave())
            self._end()

    def _end(self) -> None:
        self.alive, self.agent = False, None
        self.life += 1

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
                    self._speak(message)
                case agents.Begin(attempt, work):
                    self.runners.begin(attempt, work)
                case agents.Stop(attempt, reason):
                    self.runners.stop(attempt, reason)
                case agents.Forget(attempt):
                    self.world.ledger.forgot(self, attempt)
                    self.runners.settled(attempt)
                case agents.DrainAsked():
                    self.drain()

    def _speak(self, message: Message) -> None:
        """To the leaders. A batch may travel in parts, in any order, and a part may get lost: it is told again."""
        engine = self.engine
        if isinstance(message, Returned):
            if engine.chance("return lost", 0.4):
                return
            if engine.chance("return late", 0.5):
                self.after(engine.between(0, LATE_S), self.world.to_leaders, self, message)
                return
        elif isinstance(message, Results) and engine.chance("results in parts", 0.1):
            for part in _parts(message, engine.random):
                if engine.random.random() < 0.8:
                    self.after(engine.between(0, 0.05), self.world.to_leaders, self, part)
            return
        self.world.to_leaders(self, message)

    def say_cache(self) -> None:
        """The agent hears which modules are here."""
        self.handle(agents.CacheChanged(tuple(self._modules), 1000 * len(self._modules)))

    def has_module(self, sha256: str) -> None:
        """It is precompiled here."""
        if next(iter(self._modules), None) != sha256:
            self._modules = {sha256: None, **self._modules}


def _parts(message: Results, dice: random.Random) -> list[Results]:
    """The same in two or three messages, shuffled."""
    parts = [replace(message, tasks=[], ranges=[], builds=[]) for _ in range(dice.choice([2, 3]))]
    for field in ("tasks", "ranges", "builds"):
        for one in getattr(message, field):
            getattr(dice.choice(parts), field).append(one)
    return [part for part in parts if part.tasks or part.ranges or part.builds]
