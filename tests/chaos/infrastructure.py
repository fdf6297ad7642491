"""What a grid of several servers stands on, as parts that can be killed: PostgreSQL, and NATS as a cluster."""

from __future__ import annotations

import json
import signal
import socket
import urllib.request
from pathlib import Path

from tests.chaos.network import Machine
from tests.chaos.parts import Part, wait
from tests.postgres import PostgresServer, free_port

from wasmgrid.fabric import cluster, credentials
from wasmgrid.fabric.authorization import User
from wasmgrid.fabric.credentials import Credential, Kind
from wasmgrid.fabric.natsserver import find_nats_server

READY_S = 60.0


def listens(machine: Machine, port: int) -> bool:
    """Whether somebody accepts connections there; asked from that machine."""
    with machine.inside():
        try:
            socket.create_connection((machine.address, port), 1.0).close()
        except OSError:
            return False
    return True


class Postgres:
    """One PostgreSQL server; `url` is its database. Whoever reaches it may do all: its network is a test's own."""

    def __init__(self, machine: Machine, directory: Path) -> None:
        server = PostgresServer(directory / "postgres", host=machine.address, durable=True)
        self._machine = machine
        self._port = server.port
        self.part = Part("postgres", machine, server.command(), directory / "postgres.log", stop=signal.SIGINT)
        self.url = server.url()

    def start(self) -> None:
        """Start it (again); returns when it listens. What a kill left behind may hold it up: it tries again."""

        def up() -> bool:
            if not self.part.alive:
                self.part.start()
            return listens(self._machine, self._port)

        wait(up, f"PostgreSQL listens\n{self.part.said()}", READY_S)


class Nats:
    """A cluster of NATS servers, each on its machine, with TLS and a credential for each of `servers` and `workers`."""

    def __init__(self, machines: list[Machine], directory: Path, *, servers: list[str], workers: list[str]) -> None:
        ports = [(free_port(), free_port(), free_port()) for _ in machines]
        self._places = dict(zip([machine.name for machine in machines], zip(machines, ports, strict=True), strict=True))
        nodes = [
            cluster.Node(
                name=machine.name,
                host=machine.address,
                listen=machine.address,
                client_port=port,
                route_port=routing,
                monitor_port=monitor,
            )
            for machine, (port, routing, monitor) in self._places.values()
        ]
        self._directory = directory / "nats"
        self._ca = cluster.write(self._directory, nodes)
        self.url = ",".join(node.url for node in nodes)
        admitted = [self._admit(name, "server") for name in servers] + [self._admit(name, "worker") for name in workers]
        cluster.authorize(self._directory, admitted)
        argv = [str(find_nats_server()), "--config", "nats.conf"]
        self.parts = [
            Part(machine.name, machine, argv, directory / f"{machine.name}.log", cwd=self._directory / machine.name)
            for machine in machines
        ]

    def credential(self, name: str) -> Path:
        """The file of a credential."""
        return self._directory / f"{name}.credential"

    def start(self) -> None:
        """Start all of them; returns when each listens."""
        for part in self.parts:
            part.start()
        for part in self.parts:
            self.wait_ready(part)

    def wait_ready(self, part: Part) -> float:
        """Seconds until that one listens."""
        machine, (port, _, _) = self._places[part.name]
        return wait(lambda: listens(machine, port), f"{part.name} listens\n{part.said()}", READY_S)

    def clients(self) -> int:
        """How many clients are connected to those that run."""
        return sum(self.clients_of(part) for part in self.parts if part.alive)

    def clients_of(self, part: Part) -> int:
        """How many clients are connected to that one."""
        machine, (_, _, monitor) = self._places[part.name]
        with machine.inside(), urllib.request.urlopen(f"http://127.0.0.1:{monitor}/varz", timeout=2) as answer:
            return int(json.load(answer)["connections"])

    def _admit(self, name: str, kind: Kind) -> User:
        seed, public_key = credentials.make()
        Credential(name=name, kind=kind, nats_url=self.url, seed=seed, ca=self._ca).write(self.credential(name))
        return User(name=name, kind=kind, public_key=public_key)
