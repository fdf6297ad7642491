"""A real grid for tests: `wasmgrid up --detach` in a home of its own, and nothing of it left afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from wasmgrid.sdk.client import Client
from wasmgrid.sdk.views import Job

WASMGRID = str(Path(sys.executable).with_name("wasmgrid"))
GONE_S = 20.0
CALL_S = 180.0


@dataclass
class Grid:
    """A running grid. `environment` is what makes a command use it; commands run in `directory`."""

    home: Path
    directory: Path
    pid: int = 0
    url: str = ""
    token: str = field(default="", repr=False)

    @property
    def environment(self) -> dict[str, str]:
        """This process's, with the grid's home, and nothing that names another server."""
        ours = {key: value for key, value in os.environ.items() if not key.startswith(("WASMGRID_S", "WASMGRID_N"))}
        return {**ours, "WASMGRID_HOME": str(self.home)}

    def run(
        self, *words: str | Path, stdin: bytes = b"", timeout_s: float = CALL_S
    ) -> subprocess.CompletedProcess[bytes]:
        """One command line to its end, as a user would type it."""
        return subprocess.run(
            [WASMGRID, *map(str, words)],
            env=self.environment,
            cwd=self.directory,
            input=stdin,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )

    def text(self, *words: str | Path) -> str:
        """The stdout of a command that must succeed."""
        done = self.run(*words)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def start(self, *words: str | Path, **settings: Any) -> subprocess.Popen[bytes]:
        """A command that the test watches; use it in a `with`."""
        return subprocess.Popen([WASMGRID, *map(str, words)], env=self.environment, cwd=self.directory, **settings)

    def client(self) -> Client:
        """A client of it."""
        own = self.home / "tls" / "ca.pem"
        return Client(self.url, self.token, ca=own if own.exists() else None)

    def file(self, name: str, text: str) -> Path:
        """A file in the directory where commands run."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def wait_state(self, job_id: int, *states: str, timeout_s: float = 60.0) -> Job:
        """The job once it is in one of `states`."""
        ends_at = time.monotonic() + timeout_s
        with self.client() as client:
            while True:
                job = client.status(job_id)
                if job.state in states:
                    return job
                assert time.monotonic() < ends_at, f"job {job_id} is still {job.state} ({job.state_reason})"
                time.sleep(0.02)

    def up(self, *flags: str) -> None:
        """Start it (again). It is detached, so where tests are killed it ends once nobody has asked for long."""
        done = self.run("up", "--detach", "--port", "0", "--json", "--idle-exit", "30m", *flags)
        assert done.returncode == 0, f"{done.stderr.decode()}\n{self.logs()}"
        said = json.loads(done.stdout)
        self.pid, self.url = said["pid"], said["url"]
        self.token = (self.home / "token").read_text().strip()

    def processes(self) -> list[psutil.Process]:
        """The server and everything below it."""
        with contextlib.suppress(psutil.NoSuchProcess):
            server = psutil.Process(self.pid)
            return [server, *server.children(recursive=True)]
        return []

    def end(self) -> None:
        """Stop it, and hold that nothing is left: no process of it, wherever it has gone."""
        everyone = self.processes()
        if everyone:
            with contextlib.suppress(psutil.NoSuchProcess):
                everyone[0].terminate()
        _, alive = psutil.wait_procs(everyone, timeout=GONE_S)
        for process in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        assert not alive, f"still there after {GONE_S} s: {alive}"
        assert self.gone(), f"left behind: {self.left()}"

    def gone(self) -> bool:
        """Whether no process of this home is left, within a while."""
        ends_at = time.monotonic() + GONE_S
        while self.left():
            if time.monotonic() > ends_at:
                return False
            time.sleep(0.05)
        return True

    def left(self) -> list[psutil.Process]:
        """Processes that work in this home or were started with it."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.pid != os.getpid() and self._is_of_this_home(process):
                    found.append(process)
        return found

    def _is_of_this_home(self, process: psutil.Process) -> bool:
        home = str(self.home)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return any(home in word for word in process.cmdline()) or process.environ().get("WASMGRID_HOME") == home

    def logs(self) -> str:
        """The end of every log, for a test that failed."""
        directory = self.home / "logs"
        found = sorted(directory.glob("*.log")) if directory.is_dir() else []
        return "\n".join(f"-- {path.name}\n{path.read_text(errors='replace')[-3000:]}" for path in found)


@contextlib.contextmanager
def running(directory: Path, *flags: str) -> Iterator[Grid]:
    """A grid in `directory`/home, until the end of the block; its logs are printed where the block fails."""
    work = directory / "work"
    work.mkdir(parents=True)
    grid = Grid(home=directory / "home", directory=work)
    try:
        grid.up(*flags)
        yield grid
    except BaseException:
        print(grid.logs())
        raise
    finally:
        grid.end()
