"""A server: its membership, its connection to the store, and the real `Leader` for as long as it believes to lead."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from tests.simulation.checks import REFUSED
from tests.simulation.engine import Call, Process

from wasmgrid.core.errors import Superseded
from wasmgrid.core.wire import Assign, Cancel, Hello, Message
from wasmgrid.protocol import events
from wasmgrid.protocol.leader import Leader

if TYPE_CHECKING:
    from tests.simulation.world import World

MEMBERSHIP_S = 0.5
STALE_S = 2.5
SWEEP_S = 1.0
STORE_S = (0.001, 0.004)
STORE_GIVES_UP_S = 1.0


class Server(Process):
    """One life after another. All of what it knows of the grid is gone with each."""

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world.engine, name)
        self.world = world
        self.leader: Leader | None = None
        self.term = 0
        self._finished: set[int] = set()
        self._store_free_at = 0.0
        self.store_cut_until = 0.0

    # ---- life

    def start(self) -> None:
        """The process starts, and follows."""
        if self.alive:
            return
        self.life += 1
        self.alive, self.leader, self.frozen_until, self._finished = True, None, 0.0, set()
        self._store_free_at = 0.0
        self.engine.note(self.name, "starts")
        self.timer(self.engine.between(0, MEMBERSHIP_S), self._membership)

    def kill(self) -> None:
        """SIGKILL."""
        self.engine.note(self.name, "is KILLED (term %s)", self.term)
        self.alive, self.leader = False, None
        self.life += 1

    def stop(self) -> None:
        """SIGTERM: the leadership is given up in good order."""
        self.engine.note(self.name, "stops")
        if self.leader is not None:
            self.ask_store(lambda: self.world.store.release(self.term), lambda _: self.kill(), lambda _: self.kill())
            self.leader = None
        else:
            self.kill()

    def reconnected(self) -> None:
        """The fabric came back."""
        if self.leader is not None:
            self.perform([events.ToAll(self.leader.state.hello())])

    # ---- the store

    def ask_store(self, ask: Call, then: Call, failed: Call, *, writes: bool = False) -> None:
        """`ask()` in the store, then `then(answer)` here, or `failed(error)`; what is written keeps its order."""
        engine = self.engine
        when = engine.now + engine.between(*STORE_S)
        if engine.chance("store slow", 0.003):
            when += engine.between(0.2, 3)
        if writes:
            when = self._store_free_at = max(when, self._store_free_at)
        engine.at(when, self._in_store, self.life, ask, then, failed, writes)

    def _in_store(self, life: int, ask: Call, then: Call, failed: Call, writes: bool) -> None:
        engine = self.engine
        if engine.now < self.store_cut_until:
            if life == self.life:
                self.after(STORE_GIVES_UP_S, failed, OSError("the store is out of reach"))
            return
        if life != self.life and (not writes or engine.random.random() < 0.5):
            return  # what a dead process wrote may still be committed
        if writes and engine.chance("store write refused", 0.015):
            self.after(engine.between(*STORE_S), failed, OSError("no space left on device"))
            return
        try:
            answer = ask()
        except Superseded as error:
            engine.reached.add(REFUSED)
            if life == self.life:
                self.after(engine.between(*STORE_S), self._step_down, error)
            return
        if life != self.life:
            return
        if writes and engine.chance("store answer lost", 0.005):
            self.after(STORE_GIVES_UP_S, failed, OSError("the connection broke in the commit"))
            return
        if writes and engine.chance("server killed after commit", 0.003):
            self.kill()
            engine.after(engine.between(0.1, 6), self.start)
            return
        self.after(engine.between(*STORE_S), then, answer)

    # ---- membership

    def _membership(self) -> None:
        if self.leader is not None:
            term = self.term
            self.ask_store(lambda: self.world.store.renew(term), lambda _: None, lambda _: None)
        else:
            self.ask_store(self._try_lead, self._took, lambda _: None)
        self.timer(MEMBERSHIP_S, self._membership)

    def _try_lead(self) -> tuple[int, list[events.JobArrived], Any] | None:
        store = self.world.store
        term = store.try_lead(self.name, STALE_S)
        if term is None:
            return None
        self.engine.note(self.name, "takes the leadership, term %s", term)
        self.engine.record("leads", self.name, term)
        arrivals = [store.arrival(row, old=True) for row in store.unfinished()]
        return term, arrivals, dict(store.rows.workers)

    def _took(self, answer: tuple[int, list[events.JobArrived], Any] | None) -> None:
        if answer is None or self.leader is not None:
            return
        self.term, arrivals, workers = answer
        leader = self.leader = Leader(
            term=self.term,
            leader_id=self.name,
            known_workers=[name for name, row in workers.items() if row.state in {"joined", "draining"}],
            holds={name: (row.hold, row.note) for name, row in workers.items() if row.hold},
            now=self.clock.now(),
            settings=self.world.settings,
        )
        for arrival in arrivals:
            self.handle(arrival)
        if self.leader is leader:
            self.perform(leader.begin(self.clock.now()))
        self._tick(self.term)
        self._sweep(self.term)

    def _step_down(self, error: Superseded) -> None:
        if self.leader is not None:
            self.engine.note(self.name, "steps down: %s", error)
        self.leader = None

    # ---- the leader's loops

    def _tick(self, term: int) -> None:
        if self.leader is not None and self.term == term:
            self.handle(events.Tick())
            self.world.checks.bookkeeping(self)
            if self.leader is not None:
                self.timer(self.leader.tick_s, self._tick, term)

    def _sweep(self, term: int) -> None:
        """Hints may be lost: what is in the store and not here is found."""
        if self.leader is not None and self.term == term:
            self.ask_store(self._look, partial(self._looked, term), lambda _: None)
            self.timer(SWEEP_S, self._sweep, term)

    def _look(self) -> list[events.JobArrived]:
        known = self.leader.state.jobs if self.leader is not None else {}
        store = self.world.store
        return [
            store.arrival(row, old=False)
            for row in store.unfinished()
            if row.id not in known or (row.cancel_requested and known[row.id].stopping is None)
        ]

    def _looked(self, term: int, arrivals: list[events.JobArrived]) -> None:
        """What was read in this term is unfinished, but for what this leader itself ended meanwhile."""
        for arrival in arrivals:
            if self.term == term and arrival.job_id not in self._finished:
                self.handle(arrival)

    def hinted(self, job_id: int) -> None:
        """Another server, or this one, took a job."""
        rows, store = self.world.store.rows, self.world.store

        def read() -> list[events.JobArrived]:
            row = rows.open.get(job_id)
            return [] if row is None else [store.arrival(row, old=False)]

        if self.leader is not None:
            self.ask_store(read, partial(self._looked, self.term), lambda _: None)

    def hear(self, message: Any) -> None:
        """A worker speaks."""
        if self.leader is not None:
            self.handle(events.Said(message))

    def handle(self, event: events.Event) -> None:
        """The leader hears of it, where this server believes to lead."""
        if self.leader is not None:
            self.perform(self.leader.handle(event, self.clock.now()))

    # ---- what the leader wants done

    def perform(self, commands: list[events.Command]) -> None:
        """Send, write, tell."""
        for command in commands:
            match command:
                case events.ToWorker(worker_id, message):
                    self._send(worker_id, message)
                case events.ToAll(message):
                    for machine in self.world.machines.values():
                        self._send(machine.name, message)
                case events.Write():
                    self._write(command, self.term)
                case events.OpenBuild():
                    self._open_build(command, self.term)
                case events.Changed(job_id, finished):
                    if finished:
                        self._finished.add(job_id)
                        self.world.checks.told_finished(self, job_id)

    def _send(self, worker_id: str, message: Message) -> None:
        machine = self.world.machines[worker_id]
        if isinstance(message, Assign):
            self.world.ledger.assigned(self, worker_id, message)
        elif isinstance(message, Hello):
            self.engine.note(self.name, "to %s: hello of term %s", worker_id, message.term)
        else:
            self.engine.note(self.name, "to %s: %s", worker_id, message)
            if isinstance(message, Cancel):
                self.world.ledger.told_to_stop(message)
        bounced = None
        if isinstance(message, Assign):
            unheard = events.Unheard(worker_id, message.attempt)
            bounced = partial(self.after, 0.002, self._unheard, unheard, self.term)
        self.world.network.send(self.name, machine, message, machine.hear, message, bounced=bounced)

    def _unheard(self, event: events.Unheard, term: int) -> None:
        if self.term == term:
            self.handle(event)

    def _write(self, write: events.Write, term: int) -> None:
        self.world.ledger.asked_to_write(write.body)

        def commit() -> None:
            self.world.store.write(term, write.body)
            self.world.ledger.committed(term, write.body)

        def failed(error: OSError) -> None:
            self.engine.note(self.name, "write %s failed: %s", write.token, error)
            if self.term == term:
                self.handle(events.WriteFailed(write.token))

        self.ask_store(commit, lambda _: self._written(write, term), failed, writes=True)

    def _written(self, write: events.Write, term: int) -> None:
        if self.leader is not None and self.term == term:
            self.handle(events.Written(write.token))

    def _open_build(self, command: events.OpenBuild, term: int) -> None:
        def opened(row: Any) -> None:
            if self.term == term:
                self.handle(
                    events.BuildOpened(
                        build_id=row.id, build_key=command.build_key, state=row.state, module_sha256=row.module
                    )
                )

        def failed(_error: OSError) -> None:
            if self.leader is not None and self.term == term:
                self.timer(1.0, self._open_build, command, term)

        self.ask_store(lambda: self.world.store.open_build(term, command), opened, failed, writes=True)
