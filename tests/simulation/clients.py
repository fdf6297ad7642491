"""Those who submit and cancel, on any server; and what they were promised."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation.server import Server
from tests.simulation.workload import Request

from wasmgrid.protocol import events

if TYPE_CHECKING:
    from tests.simulation.world import World

AGAIN_S = 0.3


class Clients:
    """Every request of the workload, submitted until some server took it."""

    def __init__(self, world: World, work: list[Request]) -> None:
        self.world = world
        self.work = work
        self._taken: set[int] = set()

    def start(self) -> None:
        """Have everything happen at its time."""
        for number, request in enumerate(self.work, start=1):
            self.world.guests[number] = request.guest
            self.world.engine.at(request.when, self._submit, number, request)

    @property
    def done(self) -> bool:
        """Whether everything was submitted, and has ended."""
        return len(self._taken) == len(self.work) and not self.world.store.rows.open

    def _submit(self, number: int, request: Request) -> None:
        engine, rows = self.world.engine, self.world.store.rows
        server = self._server()
        if server is None:
            engine.after(AGAIN_S, self._submit, number, request)
            return

        def insert() -> None:
            if number not in rows.jobs:
                self.world.store.submit(number, request.tenant, request.spec, request.task_count)

        def accepted(_: object) -> None:
            self._taken.add(number)
            engine.note(server.name, "took job %s of %s: %s", number, request.tenant, request.guest)
            self._hint_job(server, number)
            if request.cancel_after_s is not None:
                engine.after(request.cancel_after_s, self.cancel, number)

        def failed(_: object) -> None:
            engine.after(AGAIN_S, self._submit, number, request)

        server.ask_store(insert, accepted, failed)
        engine.after(5.0, self._unanswered, number, request)

    def _unanswered(self, number: int, request: Request) -> None:
        """A server that died, or stands still, takes the answer with it: asked again, with the idempotency key."""
        if number not in self._taken:
            self._submit(number, request)

    def cancel(self, job_id: int) -> None:
        """Somebody wants the job to end."""
        engine, server = self.world.engine, self._server()
        if server is None:
            engine.after(AGAIN_S, self.cancel, job_id)
            return
        row = self.world.store.rows.jobs[job_id]
        if row.state is not None or row.cancel_requested:
            return

        def accepted(_: object) -> None:
            engine.note(server.name, "cancel of job %s is asked for", job_id)
            for other in self._told(server):
                self.world.network.send(server.name, other, "cancel", other.handle, events.CancelAsked(job_id))

        server.ask_store(lambda: self.world.store.ask_cancel(job_id), accepted, lambda _: self.cancel(job_id))
        engine.after(5.0, self.cancel, job_id)  # where no answer came

    def _hint_job(self, server: Server, job_id: int) -> None:
        for other in self._told(server):
            self.world.network.send(server.name, other, "submitted", other.hinted, job_id)

    def _told(self, server: Server) -> list[Server]:
        """Who hears a hint: whoever leads; where that is another server, it may be lost."""
        leading = [other for other in self.world.servers if other.alive and other.leader is not None]
        return [other for other in leading if other is server or not self.world.engine.chance("hint lost", 0.2)]

    def _server(self) -> Server | None:
        serving = [server for server in self.world.servers if server.alive and not server.frozen]
        return self.world.engine.random.choice(serving) if serving else None
