"""Workers of a grid that live in homes of their own, as on other machines: started, watched, and gone afterwards."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.e2e.grid import GONE_S, WASMGRID, Grid

from wasmgrid.sdk.views import Worker

SOON_S = 60.0


class Member:
    """A machine that may join: a home, a place to type commands, and the worker that runs there."""

    def __init__(self, directory: Path) -> None:
        self.place = Grid(home=directory / "home", directory=directory / "work")
        self.place.directory.mkdir(parents=True)
        self._said = directory / "said.txt"
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def said(self) -> str:
        """What its commands wrote."""
        return self._said.read_text(errors="replace") if self._said.exists() else ""

    def start(self, *words: str | Path, **variables: str) -> subprocess.Popen[bytes]:
        """A command in the foreground of this machine, with these in its environment."""
        return self._popen([WASMGRID, *map(str, words)], stdin=subprocess.DEVNULL, **variables)

    def paste(self, line: str) -> subprocess.Popen[bytes]:
        """A line as a person pastes it into a shell, which is how it stays out of arguments."""
        shell = self._popen(["sh"], stdin=subprocess.PIPE)
        assert shell.stdin is not None
        shell.stdin.write(f"exec 2>&1; {line}\n".encode())
        shell.stdin.close()
        return shell

    def end(self) -> None:
        """Nothing of it is left."""
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        for found in self.place.left():
            with contextlib.suppress(Exception):
                found.terminate()
        ends_at = time.monotonic() + GONE_S
        while self.place.left() and time.monotonic() < ends_at:
            time.sleep(0.05)
        for found in self.place.left():
            with contextlib.suppress(Exception):
                found.kill()
        for process in self._processes:
            process.wait(GONE_S)

    def _popen(self, words: list[str], *, stdin: int, **variables: str) -> subprocess.Popen[bytes]:
        environment = self.place.environment | variables
        environment["PATH"] = f"{Path(WASMGRID).parent}:{environment['PATH']}"
        with self._said.open("ab") as said:
            process = subprocess.Popen(
                words, env=environment, cwd=self.place.directory, stdin=stdin, stdout=said, stderr=said
            )
        self._processes.append(process)
        return process


@contextlib.contextmanager
def member(directory: Path) -> Iterator[Member]:
    """A machine, until the end of the block; what it said is printed where the block fails."""
    made = Member(directory)
    try:
        yield made
    except BaseException:
        print(made.said, made.place.logs(), sep="\n")
        raise
    finally:
        made.end()


def workers_when(
    grid: Grid, wanted: Callable[[dict[str, Worker]], bool], *, within_s: float = SOON_S
) -> dict[str, Worker]:
    """The grid's workers by id, once they are as `wanted`."""
    ends_at = time.monotonic() + within_s
    with grid.client() as client:
        while True:
            found = {worker.id: worker for worker in client.workers()}
            if wanted(found):
                return found
            assert time.monotonic() < ends_at, f"still: { {each.id: each.state for each in found.values()} }"
            time.sleep(0.05)
