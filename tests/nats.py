"""A real cluster of nats-servers for any test: three nodes on loopback, with TLS and credentials, to be broken at will.

with nats_cluster(tmp_path / "nats") as nats:
    credential = nats.credential("s1", "server")    # a file for `wasmgrid server --nats-credential`
    endpoint = nats.endpoint("s1")                  # or for Fabric.connect
    nats.nodes[0].kill(); nats.nodes[0].start(); nats.nodes[1].pause(); nats.nodes[1].resume()
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from wasmgrid import leash
from wasmgrid.fabric import cluster, credentials
from wasmgrid.fabric.authorization import User
from wasmgrid.fabric.credentials import Credential, Kind
from wasmgrid.fabric.natsserver import find_nats_server
from wasmgrid.home import FabricEndpoint

HOST = "127.0.0.1"
DEADLINE_S = 60.0


class NatsNode:
    """One nats-server of a cluster; it dies with the test process."""

    def __init__(self, settings: cluster.Node, directory: Path) -> None:
        self.settings = settings
        self.directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process that runs now."""
        assert self._process is not None, f"{self.settings.name} does not run"
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended (a paused one runs)."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it (again), at the same ports; wait until it answers. It ends with the thread that starts it."""
        assert not self.running
        log = (self.directory / "nats.log").open("ab")
        with log:
            self._process = subprocess.Popen(
                leash.command([str(find_nats_server()), "--config", "nats.conf"]),
                cwd=self.directory,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={},
                start_new_session=True,
            )
        self._until(lambda: self._shows("healthz") is not None, "does not answer")

    def kill(self) -> None:
        """kill -9, and wait for its end."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """An orderly stop."""
        self._end(signal.SIGTERM)

    def restart(self) -> None:
        """An orderly stop and a start."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """SIGSTOP: it keeps its connections and answers nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def reload(self) -> None:
        """Have it read its configuration again; returns when it has."""
        before = self._loads()
        os.kill(self.pid, signal.SIGHUP)
        self._until(lambda: self._loads() > before, "does not reload")

    def peers(self) -> set[str]:
        """The nodes that it has routes to."""
        shown = self._shows("routez") or {}
        return {route["remote_name"] for route in shown.get("routes", [])}

    def clients(self) -> int:
        """How many clients are connected to it."""
        return int((self._shows("varz") or {}).get("connections", 0))

    def log(self) -> str:
        """What it wrote."""
        return (self.directory / "nats.log").read_text(errors="replace")

    def _loads(self) -> int:
        return self.log().count("Reloaded server configuration")

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with process:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()

    def _shows(self, page: str) -> dict | None:  # type: ignore[type-arg]
        url = f"http://{HOST}:{self.settings.monitor_port}/{page}"
        with contextlib.suppress(OSError, ValueError), urllib.request.urlopen(url, timeout=2) as answer:
            found: dict[str, object] = json.loads(answer.read())
            return found
        return None

    def _until(self, condition: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert self.running, f"{self.settings.name} ended: {self.log()[-2000:]}"
            assert time.monotonic() < deadline, f"{self.settings.name} {otherwise}: {self.log()[-2000:]}"
            time.sleep(0.01)


class NatsCluster:
    """Several nodes, and the credentials that they all admit."""

    def __init__(self, path: Path, names: list[str]) -> None:
        self.path = path
        ports = iter(_free_ports(3 * len(names)))
        settings = [
            cluster.Node(
                name=name,
                host=HOST,
                listen=HOST,
                client_port=next(ports),
                route_port=next(ports),
                monitor_port=next(ports),
            )
            for name in names
        ]
        self.ca = cluster.write(path, settings)
        self.nodes = [NatsNode(node, path / node.name) for node in settings]
        self._users: dict[str, User] = {}

    @property
    def url(self) -> str:
        """All nodes, comma-separated."""
        return ",".join(node.settings.url for node in self.nodes)

    def start(self) -> None:
        """Start what does not run, and wait until all that run know each other."""
        for node in self.nodes:
            if not node.running:
                node.start()
        self.settle()

    def settle(self) -> None:
        """Wait until each node that runs has a route to each other one that does."""
        alive = {node.settings.name for node in self.nodes if node.running}
        for node in self.nodes:
            if node.running:
                others = alive - {node.settings.name}
                node._until(lambda node=node, others=others: node.peers() >= others, "has no routes")  # type: ignore[misc]

    def credential(self, name: str, kind: Kind) -> Path:
        """Make a credential and have every node that runs admit it; the credential's file."""
        seed, public_key = credentials.make()
        path = self.path / f"{name}.credential"
        Credential(name=name, kind=kind, nats_url=self.url, seed=seed, ca=self.ca).write(path)
        self._users[name] = User(name=name, kind=kind, public_key=public_key)
        self._authorize()
        return path

    def endpoint(self, name: str, kind: Kind = "server") -> FabricEndpoint:
        """The endpoint of a credential, which is made where there is none yet."""
        path = self.path / f"{name}.credential"
        return credentials.read(path if path.exists() else self.credential(name, kind)).endpoint

    def revoke(self, name: str) -> None:
        """Have every node that runs refuse it and cut its connections."""
        del self._users[name]
        self._authorize()

    def stop(self) -> None:
        """End all, paused ones too."""
        for node in self.nodes:
            node.kill()

    def _authorize(self) -> None:
        cluster.authorize(self.path, self._users.values())
        for node in self.nodes:
            if node.running:
                node.reload()


@contextmanager
def nats_cluster(path: Path, *, names: tuple[str, ...] = ("n1", "n2", "n3")) -> Iterator[NatsCluster]:
    """A running cluster in an empty or new directory; all of it is gone afterwards."""
    shutil.rmtree(path, ignore_errors=True)
    made = NatsCluster(path, list(names))
    try:
        made.start()
        yield made
    finally:
        made.stop()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind((HOST, 0))
        return [int(probe.getsockname()[1]) for probe in probes]
