"""The processes of a grid, each on its machine, and what can be done to one: start, kill, pause, resume, end.

Every process is on a leash of this one: start them from the main thread, which lives as long as the tests do.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from tests import processes
from tests.chaos.network import Machine

from wasmgrid import leash

GONE_S = 30.0
_POLL_S = 0.02


def wait(condition: Callable[[], object], what: str, within_s: float) -> float:
    """Seconds until `condition` held; fails with `what` where it does not within that time."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < within_s, f"not within {within_s:g} s: {what}"
        time.sleep(_POLL_S)
    return time.monotonic() - began


@dataclass
class Part:
    """One process. Its output goes to `log`, appended over restarts; `stop` is the signal for an orderly end."""

    name: str
    machine: Machine
    argv: Sequence[str]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    cwd: Path | None = None
    stop: signal.Signals = signal.SIGTERM
    starts: int = 0
    _process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process, which must have been started."""
        assert self._process is not None, f"{self.name} was never started"
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs, be it paused."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it on its machine."""
        assert not self.alive, f"{self.name} runs already"
        ours = {key: value for key, value in os.environ.items() if not key.startswith("WASMGRID_")}
        self.starts += 1
        with self.log.open("ab") as log, self.machine.inside():
            self._process = subprocess.Popen(
                leash.command(self.argv),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={**ours, **self.environment},
                cwd=self.cwd or self.log.parent,
                start_new_session=True,
            )

    def kill(self) -> None:
        """kill -9, and wait until it and everything below it are gone."""
        family = self.family()
        self._signal(signal.SIGKILL)
        self.reap()
        _, alive = psutil.wait_procs(family, timeout=GONE_S)
        assert not alive, f"outlived {self.name}: {alive}"

    def shoot(self) -> None:
        """kill -9, without waiting."""
        self._signal(signal.SIGKILL)

    def end(self) -> int:
        """Ask it to stop, and wait; killed where it does not. Its exit code."""
        self.resume()
        self._signal(self.stop)
        try:
            self._wait(GONE_S)
        except subprocess.TimeoutExpired:
            self.kill()
        return self.reap()

    def pause(self, *, children: bool) -> None:
        """SIGSTOP: the process alone, or with everything below it, as when a virtual machine is paused."""
        for one in self.family() if children else self.family()[:1]:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.suspend()

    def resume(self) -> None:
        """SIGCONT for all of it."""
        for one in self.family():
            with contextlib.suppress(psutil.NoSuchProcess):
                one.resume()

    def family(self) -> list[psutil.Process]:
        """The process and everything below it; empty where it does not run."""
        if not self.alive:
            return []
        with contextlib.suppress(psutil.NoSuchProcess):
            mine = psutil.Process(self.pid)
            return [mine, *mine.children(recursive=True)]
        return []

    def children(self, word: str) -> list[psutil.Process]:
        """Its running children with `word` in their command line."""
        below = self.family()[1:]
        return [one for one in below if processes.runs(one.pid) and word in processes.command(one.pid)]

    def said(self, most: int = 4000) -> str:
        """The end of what it wrote."""
        return self.log.read_text(errors="replace")[-most:] if self.log.exists() else ""

    def _signal(self, number: int) -> None:
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _wait(self, within_s: float) -> None:
        if self._process is not None:
            self._process.wait(within_s)

    def reap(self) -> int:
        """Wait for its end; its exit code."""
        if self._process is None:
            return 0
        code = self._process.wait(GONE_S)
        if self._process.stdin is not None:
            self._process.stdin.close()
        return code
