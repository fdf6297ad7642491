"""A real `wasmgrid up` in a temporary home, as a user would start it, and the few ways to look at it from outside."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
COMMAND = str(Path(sys.executable).with_name("wasmgrid"))
READY_TIMEOUT_S = 60.0
KINDS = {"modules": "application/wasm", "inputs": "application/octet-stream"}


@dataclass(frozen=True)
class Grid:
    """A running grid: its process, where it answers, its token, and how long it took from its start to ready."""

    process: subprocess.Popen[bytes]
    host: str
    port: int
    token: str
    ready_s: float
    environment: dict[str, str]

    def connect(self) -> http.client.HTTPConnection:
        """A kept-alive connection to its API."""
        return http.client.HTTPConnection(self.host, self.port, timeout=60)

    def call(self, connection: http.client.HTTPConnection, method: str, path: str, body: bytes = b"") -> Any:
        """One call, its answer decoded; a refusal raises."""
        kind = KINDS.get(path.split("/")[2], "application/json")
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": kind}
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        answer = response.read()
        if response.status >= 400:
            raise RuntimeError(f"{method} {path}: {response.status} {answer[:500]!r}")
        return json.loads(answer) if answer else None


@contextlib.contextmanager
def running(home: Path) -> Iterator[Grid]:
    """Start `wasmgrid up` in `home`, wait until it is ready, stop it at the end."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WASMGRID_S")}
    environment["WASMGRID_HOME"] = str(home)
    began = time.perf_counter()
    with (home.parent / "up.log").open("ab") as log:
        process = subprocess.Popen([COMMAND, "up"], env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        host, port, ready_s = _wait_ready(home, process, began)
        yield Grid(process, host, port, (home / "token").read_text().strip(), ready_s, environment)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def temporary_home() -> Iterator[Path]:
    """A home that is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="wasmgrid-bench-"))
    try:
        yield folder / "home"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait_ready(home: Path, process: subprocess.Popen[bytes], began: float) -> tuple[str, int, float]:
    while time.perf_counter() < began + READY_TIMEOUT_S:
        if process.poll() is not None:
            raise RuntimeError(f"up ended with {process.returncode}: {(home.parent / 'up.log').read_text()[-3000:]}")
        with contextlib.suppress(OSError, ValueError, KeyError, http.client.HTTPException):
            url = json.loads((home / "endpoint.json").read_text())["url"]
            host, _, port = url.removeprefix("http://").partition(":")
            connection = http.client.HTTPConnection(host, int(port), timeout=5)
            connection.request("GET", "/readyz")
            ready = connection.getresponse().status == 200
            connection.close()
            if ready:
                return host, int(port), time.perf_counter() - began
        time.sleep(0.005)
    raise RuntimeError(f"up was not ready within {READY_TIMEOUT_S:.0f} s")


def quantile(values: Sequence[float], part: float) -> float:
    """The value below which `part` of all values are."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def show(title: str, rows: Sequence[tuple[str, str]]) -> None:
    """Print figures under a title, as docs/benchmarks.md has them."""
    width = max(len(name) for name, _ in rows)
    print(f"{title}\n" + "\n".join(f"  {name:<{width}}  {value}" for name, value in rows), flush=True)
