"""What goes wrong by itself: machines, processes and links, and what people do to workers. And who repairs it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from tests.simulation.engine import Process
from tests.simulation.machine import Machine
from tests.simulation.server import Server

from wasmgrid.protocol import events

if TYPE_CHECKING:
    from tests.simulation.world import World

CARE_S = 3.0


class Misfortune:
    """Each kind strikes at random moments, on average once in so many seconds (divided by its weight)."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.engine = world.engine
        self._kinds: dict[str, tuple[float, Callable[[], bool]]] = {
            "server killed": (14, self._kill_server),
            "server frozen": (12, self._freeze_server),
            "server stopped": (25, self._stop_server),
            "all servers killed": (40, self._kill_servers),
            "server cut from store": (20, self._cut_from_store),
            "server cut from workers": (25, self._cut_server),
            "worker killed": (8, self._kill_worker),
            "worker frozen": (9, self._freeze_worker),
            "worker suspended": (15, self._suspend_worker),
            "worker leaves": (14, self._leave),
            "worker lifetime ends": (15, self._limit_lifetime),
            "worker changes": (15, self._change_worker),
            "worker goes bad": (25, self._spoil_worker),
            "worker cut off": (9, partial(self._cut_worker, outwards=True, inwards=True)),
            "worker not heard": (12, partial(self._cut_worker, outwards=True, inwards=False)),
            "worker does not hear": (12, partial(self._cut_worker, outwards=False, inwards=True)),
            "network stalls": (10, self._stall),
            "cancel": (4, self._cancel),
            "worker cordoned": (12, self._cordon),
            "worker drained": (15, self._ask_to_drain),
        }

    def start(self) -> None:
        """Let it come."""
        for kind, (mean_s, strike) in self._kinds.items():
            weight = self.engine.plan.weights.get(kind)
            if weight:
                self._later(kind, mean_s / weight, strike)
        self.engine.after(CARE_S, self._care)

    def _later(self, kind: str, mean_s: float, strike: Callable[[], bool]) -> None:
        self.engine.after(self.engine.random.expovariate(1 / mean_s), self._strike, kind, mean_s, strike)

    def _strike(self, kind: str, mean_s: float, strike: Callable[[], bool]) -> None:
        if not self.engine.faulty:
            return
        if strike():
            self.engine.strike(kind)
        self._later(kind, mean_s, strike)

    # ---- servers

    def _kill_server(self) -> bool:
        server = self._live_server()
        if server is None:
            return False
        server.kill()
        self.engine.after(self.engine.between(0.1, 10), server.start)
        self._change_of_mind()
        return True

    def _change_of_mind(self) -> None:
        """Nobody waits with a cancellation until the next leader has settled."""
        for _ in range(3):
            self.engine.after(self.engine.between(1.5, 3.5), self._cancel_now)

    def _cancel_now(self) -> None:
        if self.engine.plan.weights.get("cancel") and self.engine.faulty and self._cancel():
            self.engine.strike("cancel")

    def _kill_servers(self) -> bool:
        for server in self.world.servers:
            if server.alive:
                server.kill()
            self.engine.after(self.engine.between(0.1, 8), server.start)
        return True

    def _stop_server(self) -> bool:
        server = self._live_server()
        if server is None or server.frozen:
            return False
        server.stop()
        self.engine.after(self.engine.between(4, 8), server.start)
        return True

    def _freeze_server(self) -> bool:
        """Past its lease, or not quite."""
        server = self._live_server()
        return server is not None and self._freeze(server, self.engine.random.choice([1.0, 4.0, 7.0]))

    def _cut_from_store(self) -> bool:
        server = self._live_server()
        if server is None:
            return False
        server.store_cut_until = self.engine.now + self.engine.between(0.5, 6)
        self.engine.note(server.name, "is CUT from the store until %.3f", server.store_cut_until)
        return True

    def _cut_server(self) -> bool:
        server = self._live_server()
        if server is None:
            return False
        until = self.world.network.cut(server.name, self.engine.between(0.5, 8), outwards=True, inwards=True)
        self.engine.note(server.name, "is CUT from the workers until %.3f", until)
        for name in self.world.machines:
            self.world.ledger.disturbed(name, "server cut off", until - self.engine.now)
        self.engine.at(until, server.deliver, server.reconnected, ())
        return True

    # ---- workers

    def _kill_worker(self) -> bool:
        machine = self._live_machine()
        if machine is None:
            return False
        machine.kill()
        self.engine.after(self.engine.between(0.05, 10), machine.start)
        return True

    def _freeze_worker(self) -> bool:
        machine = self._live_machine()
        if machine is None or not self._freeze(machine, self.engine.random.choice([1.0, 4.0, 9.0])):
            return False
        self.world.ledger.disturbed(machine.name, "frozen", machine.frozen_until - self.engine.now)
        return True

    def _suspend_worker(self) -> bool:
        """The machine sleeps, and its clock with it."""
        machine = self._live_machine()
        if machine is None or not self._freeze(machine, self.engine.random.choice([1.0, 9.0])):
            return False
        duration_s = machine.frozen_until - self.engine.now
        machine.clock.sleep(duration_s)
        self.world.ledger.disturbed(machine.name, "suspended", duration_s)
        return True

    def _leave(self) -> bool:
        machine = self._live_machine()
        if machine is None or machine.frozen:
            return False
        if self.engine.random.random() < 0.5:
            machine.drain()
        else:
            machine.leave()
        return True

    def _limit_lifetime(self) -> bool:
        """A worker comes that stays for a while only."""
        machine = self._live_machine()
        if machine is None:
            return False
        machine.kill()
        self.engine.after(0.1, machine.start, self.engine.between(8, 16))
        return True

    def _change_worker(self) -> bool:
        machine = self._live_machine()
        if machine is None or machine.frozen or not machine.info.toolchains:
            return False
        machine.change()
        return True

    def _spoil_worker(self) -> bool:
        machine = self._live_machine()
        if machine is None:
            return False
        machine.bad_until = self.engine.now + self.engine.between(2, 8)
        self.engine.note(machine.name, "goes BAD until %.3f", machine.bad_until)
        return True

    def _cut_worker(self, *, outwards: bool, inwards: bool) -> bool:
        return self._cut(self.engine.random.choice([1.0, 4.0, 12.0]), outwards=outwards, inwards=inwards)

    def _stall(self) -> bool:
        return self._cut(self.engine.random.choice([1.0, 4.0, 7.0]), outwards=True, inwards=True, stalls=True)

    def _cut(self, most_s: float, *, outwards: bool, inwards: bool, stalls: bool = False) -> bool:
        machine = self._live_machine()
        if machine is None or self.world.network.is_cut(machine.name):
            return False
        duration_s = self.engine.between(most_s / 3, most_s)
        until = self.world.network.cut(machine.name, duration_s, outwards=outwards, inwards=inwards, stalls=stalls)
        directions = "out " * outwards + "in " * inwards + "stalls " * stalls
        self.engine.note(machine.name, "is CUT until %.3f: %s", until, directions)
        self.world.ledger.disturbed(machine.name, "cut", duration_s)
        if self.engine.random.random() < 0.7:  # else nobody noticed
            self.engine.at(until, machine.deliver, machine.reconnected, ())
        return True

    # ---- people

    def _cancel(self) -> bool:
        jobs = list(self.world.store.rows.open)
        if not jobs:
            return False
        self.world.clients.cancel(self.engine.random.choice(jobs))
        return True

    def _cordon(self) -> bool:
        name = self.engine.random.choice(list(self.world.machines))
        self.engine.after(self.engine.between(2, 9), self._ask, name, "uncordon")
        return self._ask(name, "cordon")

    def _ask_to_drain(self) -> bool:
        return self._ask(self.engine.random.choice(list(self.world.machines)), "drain")

    def _ask(self, worker_id: str, action: str) -> bool:
        self.engine.note("ops", "%s %s", action, worker_id)
        leading = [one for one in self.world.servers if one.alive and not one.frozen and one.leader is not None]
        for server in leading[:1]:
            server.handle(events.WorkerAsked(worker_id, action))
        return bool(leading)

    def _care(self) -> None:
        """Somebody starts what stopped, after a while; and lifts what keeps workers away, once the faults are over."""
        for machine in self.world.machines.values():
            if not machine.alive and (not self.engine.faulty or self.engine.random.random() < 0.4):
                machine.start()
        if not self.engine.faulty:
            for server in self.world.servers:
                server.start()
            for worker_id, row in self.world.store.rows.workers.items():
                if row.hold:
                    self._ask(worker_id, "uncordon")
        self.engine.after(CARE_S, self._care)

    # ---- whom it hits

    def _freeze(self, process: Process, most_s: float) -> bool:
        if process.frozen:
            return False
        process.frozen_until = self.engine.now + self.engine.between(most_s / 2, most_s)
        self.engine.note(process.name, "is FROZEN until %.3f", process.frozen_until)
        return True

    def _live_server(self) -> Server | None:
        """A server; twice out of three the one that leads."""
        alive = [server for server in self.world.servers if server.alive]
        leading = [server for server in alive if server.leader is not None]
        return self.engine.random.choice(leading * 2 + alive) if alive else None

    def _live_machine(self) -> Machine | None:
        alive = [machine for machine in self.world.machines.values() if machine.alive]
        return self.engine.random.choice(alive) if alive else None
