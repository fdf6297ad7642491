"""A server in a process of its own, without a worker."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import processes

from wasmgrid.home import Home

DEADLINE_S = 60.0

MAIN = """
import sys
from pathlib import Path
from wasmgrid.core.errors import WasmgridError
from wasmgrid.home import Home
from wasmgrid.server.process import ServeOptions, run
options = {"port": 0, "with_worker": False, **eval(sys.argv[2])}
try:
    sys.exit(run(ServeOptions(home=Home(Path(sys.argv[1])), **options)))
except WasmgridError as error:
    print(error, file=sys.stderr)
    sys.exit(125)
"""


class Server:
    """One server process and what a test asks of it."""

    def __init__(self, path: Path, options: dict[str, object]) -> None:
        self.home = Home(path)
        self.stderr = path.parent / "stderr"
        with self.stderr.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", MAIN, str(path), repr(options)], stdin=subprocess.DEVNULL, stderr=output
            )

    def ready(self) -> Server:
        """Wait until it says where it is."""
        self.until(lambda: (endpoint := self.home.endpoint()) is not None and endpoint.pid == self.process.pid)
        return self

    def ended(self) -> int:
        """Its exit code."""
        return self.process.wait(DEADLINE_S)

    def stop(self) -> int:
        """Ask it to stop; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.ended()

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """(status, parsed answer)."""
        endpoint = self.home.endpoint()
        assert endpoint is not None
        headers = {"Authorization": f"Bearer {self.home.token()}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(endpoint.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def children(self) -> list[int]:
        """The processes that it started and that run."""
        return list(processes.children(self.process.pid))

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition while it runs, under a deadline."""
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert self.process.poll() is None, self.stderr.read_text()
            assert time.monotonic() < deadline, self.stderr.read_text()
            time.sleep(0.01)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start servers in one home; whatever is left of them ends with the test."""
    servers: list[Server] = []

    def start(**options: object) -> Server:
        servers.append(Server(tmp_path / "home", options))
        return servers[-1]

    yield start
    for server in servers:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()
