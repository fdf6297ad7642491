"""The grid of one seed: real leaders and agents, everything else simulated. One seed, one history.

Nothing here decides anything that the product decides.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.simulation.checks import Checks
from tests.simulation.clients import Clients
from tests.simulation.engine import Engine, Violation
from tests.simulation.ledger import Ledger
from tests.simulation.machine import RUST, Machine
from tests.simulation.misfortune import Misfortune
from tests.simulation.network import Network
from tests.simulation.plan import Plan, plan
from tests.simulation.server import Server
from tests.simulation.store import Store
from tests.simulation.workload import Guest, Request, requests

from wasmgrid.core.job import SourceRef
from wasmgrid.core.outcome import Outcome, OutcomeKind, exited
from wasmgrid.core.resources import Resources
from wasmgrid.core.wire import Message, RunWork
from wasmgrid.core.worker import Gpu, WorkerInfo
from wasmgrid.protocol.state import Settings

FINISH_S = 150.0  # once the faults stopped, everything has ended after so long
QUIET_S = 45.0  # and then nothing runs anywhere after so long
LEASE_S = 5.0


class World:
    """Runs until everything has ended. `trace` gets the lines that people read."""

    def __init__(
        self,
        seed: int,
        *,
        given: Plan | None = None,
        work: list[Request] | None = None,
        trace: Callable[[str], None] | None = None,
    ) -> None:
        self.seed = seed
        self.plan = given or plan(seed)
        self.engine = Engine(seed, self.plan, trace=trace)
        self.settings = Settings(
            lease_s=LEASE_S,
            heartbeat_s=1.0,
            retry_first_s=0.5,
            policy=self.plan.policy,
            weights=self.plan.tenants,
        )
        self.store = Store(self.engine)
        self.network = Network(self.engine)
        self.ledger = Ledger(self)
        self.checks = Checks(self)
        self.guests: dict[int, Guest] = {}
        self.servers = [Server(self, f"s{number + 1}") for number in range(self.plan.servers)]
        self.machines = {info.id: Machine(self, info) for info in machines(self.plan.workers)}
        self.clients = Clients(self, requests(seed, self.plan) if work is None else work)
        self.misfortune = Misfortune(self)
        self.network.watch = self.ledger.message_hurt

    # ---- the run

    def run(self) -> None:
        """To the end; raises `Violation` where a promise is broken on the way."""
        for server in self.servers:
            self.engine.at(self.engine.between(0, 1), server.start)
        for machine in self.machines.values():
            self.engine.at(self.engine.between(0, 3), machine.start)
        self.clients.start()
        self.misfortune.start()
        self._until(lambda: self.clients.done, self.plan.horizon_s + FINISH_S, self._unfinished)
        self._until(lambda: self.quiet, self.engine.now + QUIET_S, self._busy)
        self.checks.finished()

    def _until(self, done: Callable[[], bool], deadline_s: float, complaint: Callable[[], str]) -> None:
        engine = self.engine
        while True:
            for _ in range(20):
                engine.step()
            if not engine.faulty and done():
                return
            if engine.now > deadline_s:
                raise Violation(complaint())

    @property
    def quiet(self) -> bool:
        """Whether no runner runs and no agent holds anything."""
        return all(not one.runners.runs and (one.agent is None or one.agent.idle) for one in self.machines.values())

    def _unfinished(self) -> str:
        rows = list(self.store.rows.open.values())
        return f"{len(rows)} jobs never end: {[row.id for row in rows[:9]]}"

    def _busy(self) -> str:
        held = {
            machine.name: sorted(machine.runners.runs) for machine in self.machines.values() if machine.runners.runs
        }
        return f"everything has ended, and yet something is held: {held}"

    # ---- the fabric

    def to_leaders(self, machine: Machine, message: Message) -> None:
        """A worker speaks to the leader: to whoever believes to be it."""
        for server in self.servers:
            if server.alive and server.leader is not None:
                self.network.send(machine.name, server, message, server.hear, message)

    # ---- what programs do

    def fate(self, work: RunWork, index: int) -> tuple[Outcome, float]:
        """How a task ends, and after how long."""
        guest, limits = self.guests[work.job_id].at(index), work.limits
        if guest.duration_s > limits.wall_s:
            return Outcome(kind=OutcomeKind.TIMED_OUT, message="past its time limit"), limits.wall_s
        match guest.does:
            case "fails":
                outcome = exited(1)
            case "traps":
                outcome = Outcome(kind=OutcomeKind.TRAPPED, trap_kind="unreachable")
            case "crashes":
                outcome = Outcome(kind=OutcomeKind.LOST, message="the runner crashed")
            case "hungry" if limits.memory_mb < guest.needs_mb:
                outcome = Outcome(kind=OutcomeKind.OUT_OF_MEMORY)
            case _:
                outcome = exited(0)
        return outcome, guest.duration_s

    def source_fails(self, source: SourceRef) -> bool:
        """Whether the compiler refuses it."""
        return int(source.sha256, 16) % 5 == 0


def machines(count: int) -> list[WorkerInfo]:
    """The workers: ordinary ones, a big one, one with GPUs, one that only builds."""
    usual = Resources(milli_cpus=4000, memory_mb=8000, disk_mb=4000, slots=8)
    big = Resources(milli_cpus=8000, memory_mb=16000, disk_mb=8000, slots=16)
    gpus = [Gpu(index=0, model="NVIDIA A100 80GB", memory_mb=80_000), Gpu(index=2, model="Tesla T4", memory_mb=16_000)]
    all_of_them = [
        WorkerInfo(id="w1", incarnation="", version="1", capacity=usual, labels={"zone": "north"}, toolchains=[RUST]),
        WorkerInfo(id="w2", incarnation="", version="1", capacity=usual, labels={"zone": "south"}),
        WorkerInfo(id="w3", incarnation="", version="1", capacity=big, labels={"zone": "south"}),
        WorkerInfo(
            id="w4",
            incarnation="",
            version="1",
            capacity=Resources(milli_cpus=4000, memory_mb=8000, disk_mb=4000, slots=8, gpus=2),
            gpus=gpus,
        ),
        WorkerInfo(id="w5", incarnation="", version="1", capacity=usual, toolchains=[RUST], builds_only=True),
        WorkerInfo(id="w6", incarnation="", version="1", capacity=usual, labels={"zone": "north"}),
    ]
    return all_of_them[:count]
