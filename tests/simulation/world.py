"""A small world around the real `scheduling/` and `protocol/`: virtual clock, lossy network, crashing machines.

One seed, one history. Nothing here decides anything that the product decides.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from wasmgrid.core.job import BuildResult, SourceRef, StoredSpec, TaskResult
from wasmgrid.core.lifecycle import JobState
from wasmgrid.core.outcome import Outcome, OutcomeKind, exited
from wasmgrid.core.resources import Resources
from wasmgrid.core.wire import BuildWork, Held, Message, RunWork
from wasmgrid.core.worker import Toolchain, WorkerInfo
from wasmgrid.protocol import agent_events as agents
from wasmgrid.protocol import events
from wasmgrid.protocol.agent import Agent
from wasmgrid.protocol.leader import Leader
from wasmgrid.protocol.state import Settings

TOOLCHAIN = Toolchain(language="rust", identity="rust-1", version="1", ready=True)
SETTINGS = Settings(lease_s=5.0, heartbeat_s=1.0)


@dataclass
class Store:
    """What survives everything: jobs, results, builds, workers, the term."""

    term: int = 0
    jobs: dict[int, StoredSpec] = field(default_factory=dict)
    modules: dict[int, str] = field(default_factory=dict)
    cancels: set[int] = field(default_factory=set)
    finished: dict[int, JobState] = field(default_factory=dict)
    results: dict[int, TaskResult] = field(default_factory=dict)
    crashes: Counter[int] = field(default_factory=Counter)
    builds: dict[str, int] = field(default_factory=dict)
    built: dict[int, str] = field(default_factory=dict)
    workers: dict[str, str] = field(default_factory=dict)

    def arrived(self, job_id: int, *, old: bool) -> events.JobArrived:
        return events.JobArrived(
            job_id=job_id,
            tenant="default",
            spec=self.jobs[job_id],
            module_sha256=self.modules.get(job_id),
            cancel_requested=job_id in self.cancels,
            old=old,
            crashes={0: self.crashes[job_id]},
        )


@dataclass
class Worker:
    """A machine: an agent's pure half, what it runs, and what its disk remembers."""

    id: str
    life: int = 0
    agent: Agent | None = None
    running: dict[int, RunWork | BuildWork] = field(default_factory=dict)
    began: dict[int, Held] = field(default_factory=dict)
    frozen_until: float = 0.0


class World:
    """Runs until everything is finished. `faults` counts what was inflicted, by kind."""

    def __init__(self, seed: int, *, workers: int = 3, jobs: int = 40, faulty_s: float = 60.0) -> None:
        self.random = random.Random(seed)
        self.now = 0.0
        self.faulty_s = faulty_s
        self.faults: Counter[str] = Counter()
        self.starts: Counter[int] = Counter()
        self.store = Store()
        self.leader: Leader | None = None
        self.leader_life = 0
        self.workers = {f"w{number}": Worker(f"w{number}") for number in range(workers)}
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        for worker in self.workers.values():
            self.at(self.random.uniform(0, 3), lambda worker=worker: self.start_worker(worker))  # type: ignore[misc]
        self.at(0.5, self.start_leader)
        for number in range(1, jobs + 1):
            self.at(self.random.uniform(0, faulty_s), lambda number=number: self.submit(number))  # type: ignore[misc]
        self.at(1.0, self.inflict)

    # ---- time

    def at(self, when: float, call: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (when, next(self._numbers), call))

    def after(self, delay: float, call: Callable[[], None]) -> None:
        self.at(self.now + delay, call)

    def run(self, *, until: float = 600.0) -> None:
        """Until all jobs that were submitted are finished, after the faults ended; fails where that takes too long."""
        while self._queue:
            self.now, _, call = heapq.heappop(self._queue)
            call()
            self.check()
            if self.now > self.faulty_s + 5 and set(self.store.jobs) == set(self.store.finished):
                return
            if self.now > until:
                unfinished = sorted(set(self.store.jobs) - set(self.store.finished))
                raise AssertionError(f"not finished at {self.now:.0f} s: {unfinished}")

    def check(self) -> None:
        if self.leader is None:
            return
        state = self.leader.state
        for task in state.tasks:
            waits = task.id in state.scheduler.queue
            assert not (waits and (task.attempt is not None or task.settling or task.withheld)), task
        for info in state.scheduler.pool.infos():
            free = state.scheduler.pool.free(info.id)
            assert Resources().fits_in(free), f"{info.id} is over-committed: {free}"
            assert free.fits_in(info.capacity), f"{info.id} has more free than it has: {free}"
            needs = [task.shape.need for task in state.tasks.held_by(info.id) if not task.settling]
            assert info.capacity - free == sum(needs, Resources()), f"{info.id} lost count of {free}"

    # ---- faults

    @property
    def faulty(self) -> bool:
        return self.now < self.faulty_s

    def chance(self, kind: str, probability: float) -> bool:
        hit = self.faulty and self.random.random() < probability
        self.faults[kind] += hit
        return hit

    def inflict(self) -> None:
        """Now and then a machine dies, freezes or comes back."""
        worker = self.random.choice(list(self.workers.values()))
        if self.chance("worker killed", 0.1) and worker.agent is not None:
            self.kill_worker(worker)
            self.after(self.random.uniform(0.1, 12), lambda: self.start_worker(worker))
        elif self.chance("worker frozen", 0.05):
            worker.frozen_until = self.now + self.random.uniform(1, 15)
        elif self.chance("worker leaves", 0.03) and worker.agent is not None:
            self.perform_agent(worker, worker.agent.leave())
            worker.began.clear()
            self.kill_worker(worker)
            self.after(self.random.uniform(0.1, 5), lambda: self.start_worker(worker))
        elif self.chance("leader killed", 0.04) and self.leader is not None:
            self.leader = None
            self.leader_life += 1
            self.after(self.random.uniform(0.1, 12), self.start_leader)
        elif self.chance("cancel", 0.1) and self.store.jobs:
            job_id = self.random.choice(sorted(self.store.jobs))
            if job_id not in self.store.finished:
                self.store.cancels.add(job_id)
                self.to_leader(events.CancelAsked(job_id))
        if self.faulty:
            self.after(0.5, self.inflict)

    def send(self, call: Callable[[], None], delay: float) -> None:
        """Across the network: lost, doubled or late while faults last."""
        if self.chance("message lost", 0.03):
            return
        if self.chance("message doubled", 0.03):
            self.after(delay + self.random.uniform(0, 0.5), call)
        self.after(delay + (self.random.uniform(0, 2) if self.chance("message late", 0.03) else 0), call)

    # ---- the client

    def submit(self, number: int) -> None:
        source = SourceRef(sha256=f"s{number % 5}", language="rust", entry="x.rs") if number % 3 == 0 else None
        spec = StoredSpec(
            cpus=self.random.choice([0.5, 1, 2]),
            memory_mb=self.random.choice([100, 1000, 3000]),
            source=source,
            retries=self.random.choice([0, 0, 2]),
            priority=self.random.choice([0, 0, 5]),
        )
        self.store.jobs[number] = spec
        if source is None:
            self.store.modules[number] = "m"
        if self.leader is not None and not self.chance("notice lost", 0.1):
            self.to_leader(self.store.arrived(number, old=False))

    # ---- the leader

    def start_leader(self) -> None:
        self.leader_life += 1
        self.store.term += 1
        life = self.leader_life
        known = {name for name, state in self.store.workers.items() if state == "joined"}
        self.leader = Leader(
            term=self.store.term, leader_id=f"s{life}", known_workers=known, now=self.now, settings=SETTINGS
        )
        for job_id in sorted(set(self.store.jobs) - set(self.store.finished)):
            self.perform_leader(self.leader.handle(self.store.arrived(job_id, old=True), self.now))
        self.perform_leader(self.leader.begin(self.now))
        self.tick_leader(life)

    def tick_leader(self, life: int) -> None:
        if life != self.leader_life or self.leader is None:
            return
        self.to_leader(events.Tick())
        for job_id in sorted(set(self.store.jobs) - set(self.store.finished) - set(self.leader.state.jobs)):
            self.to_leader(self.store.arrived(job_id, old=False))
        self.after(self.leader.tick_s, lambda: self.tick_leader(life))

    def to_leader(self, event: events.Event) -> None:
        if self.leader is not None:
            self.perform_leader(self.leader.handle(event, self.now))

    def perform_leader(self, commands: list[events.Command]) -> None:
        life = self.leader_life
        for command in commands:
            match command:
                case events.ToWorker(worker_id, message):
                    self.send(lambda w=worker_id, m=message: self.deliver(w, m), 0.01)  # type: ignore[misc]
                case events.ToAll(message):
                    for worker_id in self.workers:
                        self.send(lambda w=worker_id, m=message: self.deliver(w, m), 0.01)  # type: ignore[misc]
                case events.Write():
                    self.after(0.005, lambda c=command: self.commit(c, life))  # type: ignore[misc]
                case events.OpenBuild():
                    self.after(0.005, lambda c=command: self.open_build(c, life))  # type: ignore[misc]
                case events.Changed():
                    pass

    def commit(self, write: events.Write, life: int) -> None:
        if life != self.leader_life:
            return
        if self.chance("disk full", 0.02):
            self.to_leader(events.WriteFailed(write.token))
            return
        self.apply(write.body)
        if not self.chance("leader killed after commit", 0.01):
            self.to_leader(events.Written(write.token))
            return
        self.leader = None
        self.leader_life += 1
        self.after(self.random.uniform(0.1, 5), self.start_leader)

    def apply(self, body: events.Body) -> None:
        match body:
            case events.Record():
                for result in body.results:
                    assert result.job_id not in self.store.results, f"job {result.job_id} has two results"
                    self.store.results[result.job_id] = result
                for ended in body.ended:
                    self.store.crashes[ended.task.id] += ended.crashed and ended.task.kind == "run"
                for finished in body.finished:
                    assert finished.job_id not in self.store.finished
                    assert finished.job_id in self.store.results
                    self.store.finished[finished.job_id] = finished.state
            case events.FinishBuild(result=result):
                if result.module_sha256:
                    self.store.built[result.build_id] = result.module_sha256
            case events.AssignModule():
                for job_id in body.job_ids:
                    self.store.modules[job_id] = body.module_sha256
            case events.SaveWorker(info=info, state=state):
                self.store.workers[info.id] = state

    def open_build(self, command: events.OpenBuild, life: int) -> None:
        if life != self.leader_life:
            return
        build_id = self.store.builds.setdefault(command.build_key, len(self.store.builds) + 1)
        module = self.store.built.get(build_id)
        self.to_leader(
            events.BuildOpened(
                build_id=build_id,
                build_key=command.build_key,
                state="done" if module else "pending",
                module_sha256=module,
            )
        )

    # ---- the workers

    def start_worker(self, worker: Worker) -> None:
        if worker.agent is not None:
            return
        worker.life += 1
        info = WorkerInfo(
            id=worker.id,
            incarnation=f"{worker.id}-{worker.life}",
            version="1",
            capacity=Resources(milli_cpus=2000, memory_mb=4000, disk_mb=8000, slots=4),
            toolchains=[TOOLCHAIN],
        )
        died = [Held(attempt=h.attempt, kind=h.kind, id=h.id, phase="died") for h in worker.began.values()]
        worker.began.clear()
        worker.agent = Agent(info, died=died, now=self.now)
        self.perform_agent(worker, worker.agent.introduce(self.now))
        self.tick_worker(worker, worker.life)

    def kill_worker(self, worker: Worker) -> None:
        worker.agent = None
        worker.life += 1
        worker.running.clear()

    def tick_worker(self, worker: Worker, life: int) -> None:
        if worker.life != life or worker.agent is None:
            return
        if worker.frozen_until > self.now:
            self.at(worker.frozen_until, lambda: self.tick_worker(worker, life))
            return
        if not self.chance("worker unreachable", 0.01):
            self.to_agent(worker, agents.Reached())
        self.to_agent(worker, agents.Tick())
        self.after(0.25, lambda: self.tick_worker(worker, life))

    def deliver(self, worker_id: str, message: Message) -> None:
        worker = self.workers[worker_id]
        if worker.frozen_until > self.now:
            self.at(worker.frozen_until, lambda: self.deliver(worker_id, message))
        elif worker.agent is not None:
            self.to_agent(worker, agents.Heard(message))  # type: ignore[arg-type]

    def to_agent(self, worker: Worker, event: agents.Event) -> None:
        if worker.agent is not None:
            self.perform_agent(worker, worker.agent.handle(event, self.now))

    def perform_agent(self, worker: Worker, commands: list[agents.Command]) -> None:
        life = worker.life
        for command in commands:
            match command:
                case agents.Say(message):
                    self.send(lambda m=message: self.to_leader(events.Said(m)), 0.01)  # type: ignore[misc]
                case agents.Begin(attempt, work):
                    self.begin(worker, attempt, work)
                case agents.Stop(attempt, reason):
                    stopped = worker.running.pop(attempt, None)
                    if stopped is not None and reason is agents.StopReason.CANCELLED:
                        result = self.result(worker, attempt, stopped, Outcome(kind=OutcomeKind.CANCELLED))
                        self.after(0.02, lambda r=result: self.end(worker, life, r))  # type: ignore[misc]
                case agents.Forget(attempt):
                    worker.began.pop(attempt, None)

    def begin(self, worker: Worker, attempt: int, work: RunWork | BuildWork) -> None:
        life = worker.life
        if isinstance(work, RunWork):
            self.starts[work.job_id] += 1
            held = Held(attempt=attempt, kind="run", id=work.job_id)
        else:
            held = Held(attempt=attempt, kind="build", id=work.build_id)
        worker.began[attempt] = held
        worker.running[attempt] = work
        self.to_agent(worker, agents.Advanced(attempt=attempt, phase="running", started_at=self.now + 1))
        outcome = exited(self.random.choice([0, 0, 0, 1]))
        if self.chance("runner crash", 0.03):
            outcome = Outcome(kind=OutcomeKind.LOST, message="the runner crashed")
        elif isinstance(work, BuildWork):
            outcome = exited(0) if self.random.random() < 0.8 else Outcome(kind=OutcomeKind.BUILD_FAILED)
        result = self.result(worker, attempt, work, outcome)

        def finish() -> None:
            if worker.frozen_until > self.now:
                self.at(worker.frozen_until, finish)
            elif worker.life == life and worker.running.pop(attempt, None) is not None:
                self.end(worker, life, result)

        self.after(self.random.choice([0.01, 0.5, 3, 8]), finish)

    def end(self, worker: Worker, life: int, result: TaskResult | BuildResult) -> None:
        if worker.life == life:
            self.to_agent(worker, agents.Ended(result))

    def result(
        self, worker: Worker, attempt: int, work: RunWork | BuildWork, outcome: Outcome
    ) -> TaskResult | BuildResult:
        if isinstance(work, RunWork):
            return TaskResult(job_id=work.job_id, index=0, attempt=attempt, worker_id=worker.id, outcome=outcome)
        module = "built" if outcome.succeeded else None
        return BuildResult(
            build_id=work.build_id, attempt=attempt, worker_id=worker.id, outcome=outcome, module_sha256=module
        )
