"""A peer as a process of its own: started, told what to run, timed from outside and from inside, and surely ended."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from benchmarks import cputime
from benchmarks.environments import MissingError
from benchmarks.grid import ROOT

READY_S, SLICE_S, END_S = 120.0, 900.0, 30.0
Argv = Callable[[], Sequence[str]]  # raises `MissingError` where the peer cannot be had


@dataclass(frozen=True)
class Slice:
    """So many tasks, run once: seconds on the wall, of CPU in all of the peer's processes, and what they held after."""

    count: int
    seconds: float
    cpu_s: float
    rss_mb: float
    task_mb: float | None = None  # the most that a task's own process held, where it has one
    parts: dict[str, float] = field(default_factory=dict)  # `cpu_s`, by process

    def plus(self, other: Slice) -> Slice:
        """Both as one."""
        return replace(
            self, count=self.count + other.count, seconds=self.seconds + other.seconds, cpu_s=self.cpu_s + other.cpu_s
        )

    @property
    def per_s(self) -> float:
        """Tasks a second."""
        return self.count / self.seconds

    @property
    def cpu_us(self) -> float:
        """Microseconds of CPU a task."""
        return self.cpu_s / self.count * 1e6


class Peer:
    """One that runs. Use it as a context; `MissingError` where it does not get ready or fails."""

    def __init__(self, name: str, argv: Argv) -> None:
        self.name = name
        self.version = ""
        self._argv = argv
        self._next = 0

    def __enter__(self) -> Self:
        argv = list(self._argv())
        paths = [str(ROOT), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
        self._folder = tempfile.mkdtemp(prefix="wgb-")  # short: Ray has sockets in it
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        environment |= {"TMPDIR": self._folder, "RAY_TMPDIR": self._folder}
        self._words = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            env=environment,
            text=True,
            start_new_session=True,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        try:
            self.version = str(self._answer(READY_S)["ready"])
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        family = cputime.tree(self._process.pid)  # while it can be seen who belongs to it
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(END_S)
        cputime.kill(family)
        self._process.wait()
        self._listener.join(END_S)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._words.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def run(self, module: Path, native: Path | None, count: int) -> Slice:
        """So many tasks of a module, with numbers that this peer has not had yet."""
        assert self._process.stdin is not None
        before = cputime.by_process(self._process.pid)
        work = {"module": str(module), "native": str(native or ""), "first": self._next, "count": count}
        self._next += count
        with contextlib.suppress(BrokenPipeError):  # it died: `_answer` says how
            self._process.stdin.write(json.dumps(work) + "\n")
            self._process.stdin.flush()
        answer = self._answer(SLICE_S)
        if answer["good"] != count:
            raise MissingError(f"{answer['good']} of {count} tasks gave the right output; {self._said()}")
        after = cputime.by_process(self._process.pid)
        parts = {name: used - before.get(name, 0.0) for name, used in after.items()}
        cpu_s = sum(after.values()) - sum(before.values())
        rss_mb = cputime.rss_mb(self._process.pid)
        return Slice(count, float(answer["seconds"]), cpu_s, rss_mb, answer.get("task_mb"), parts)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def _answer(self, timeout_s: float) -> dict[str, Any]:
        try:
            line = self._lines.get(timeout=timeout_s)
        except queue.Empty:
            raise MissingError(f"no answer within {timeout_s:.0f} s") from None
        if not line:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
            raise MissingError(f"it ended with {self._process.returncode}: {self._said()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _said(self) -> str:
        self._words.seek(0)
        lines = self._words.read().decode("utf-8", "replace").strip().splitlines()
        return " / ".join(lines[-3:])[-600:] or "it said nothing"
