"""The main job, as a user sees it: only the installed `wasmgrid` command, a home of its own that is removed at the end.

Programs in nine languages are compiled in a sandbox, matched to a worker, run under limits, and given back with
output, statistics and the .wasm. A language whose toolchain cannot be had on this machine is named and left out.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parent.parent
COMMAND = Path(sys.executable).with_name("wasmgrid")
PROGRAMS = {
    "python": "hello.py",
    "c": "hello.c",
    "cpp": "hello.cpp",
    "go": "hello.go",
    "zig": "hello.zig",
    "javascript": "hello.js",
    "typescript": "hello.ts",
    "wat": "hello.wat",
}
NEXT = [
    ("up --detach", "a grid that stays"),
    ("dashboard", "a link that signs your browser in"),
    ("run examples/mandelbrot.rs", "a program worth reading; the others: examples/README.md"),
    ("init first --language python", "a program of your own, and its job file"),
]
INSTALL_TIMEOUT_S = 600
BUILD_FAILED = 126
COLOR = sys.stdout.isatty() and "NO_COLOR" not in os.environ


class Demo:
    """One grid in a temporary home, the commands typed at it, and what went wrong."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        kept = {name: value for name, value in os.environ.items() if name not in {"WASMGRID_SERVER", "WASMGRID_TOKEN"}}
        self.environment = {**kept, "WASMGRID_HOME": str(folder / "home")}
        self.problems: list[str] = []
        self.missing: set[str] = set()
        self.again = "last"

    def type(self, *words: str, expect: int = 0, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
        """Show a command, run it, show what it writes; another exit code than `expect` is a problem of the demo."""
        print(_dim(f"$ wasmgrid {shlex.join(words)}"), flush=True)
        done = self.quietly(*words, timeout_s=timeout_s, errors=subprocess.STDOUT)
        print(done.stdout.rstrip("\n"), flush=True)
        if done.returncode != expect:
            self.problems.append(f"wasmgrid {shlex.join(words)}: exit code {done.returncode}, expected {expect}")
        return done

    def quietly(
        self, *words: str, timeout_s: float = 120, errors: int = subprocess.DEVNULL
    ) -> subprocess.CompletedProcess[str]:
        """Run a command without showing it; one that hangs is a problem, not the end of the demo."""
        argv = [str(COMMAND), *words]
        try:
            return subprocess.run(
                argv,
                env=self.environment,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(argv, -1, f"no answer within {timeout_s:.0f} s\n")

    def install(self) -> None:
        """Have every toolchain, showing the progress of what is installed, and note which cannot be had."""
        print(_dim("$ wasmgrid toolchain install"), flush=True)
        with contextlib.suppress(subprocess.TimeoutExpired):
            words = [str(COMMAND), "toolchain", "install"]
            subprocess.run(words, env=self.environment, cwd=ROOT, timeout=INSTALL_TIMEOUT_S, check=False)
        listed = json.loads(self.quietly("toolchain", "list", "--json").stdout or "{}").get("toolchains", [])
        self.missing = {each["language"] for each in listed if each["state"] == "missing"}
        for language in sorted(self.missing):
            print(f"No toolchain for {language} on this machine: its program is left out.", flush=True)

    def job(self, job_id: str) -> dict[str, Any]:
        """A job's JSON."""
        found = json.loads(self.quietly("status", job_id, "--json").stdout or "{}")
        return found if isinstance(found, dict) else {}

    def stop(self) -> None:
        """End what `up` started, the hard way where `down` does not do it."""
        lock = self.folder / "home" / "lock"
        holder = lock.read_text(encoding="ascii").strip() if lock.exists() else ""
        if self.quietly("down", timeout_s=30).returncode != 0 and holder:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(holder), signal.SIGKILL)


def main() -> int:
    """Run the demo; the exit code says whether everything that could be shown went as it should."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    began = time.monotonic()
    with _grid() as demo:
        show_sleep(demo)
        show_languages(demo)
        show_cache(demo)
        show_compile_error(demo)
        show_module(demo)
        show_statistics(demo)
    heading("Everything that was started is stopped, and the demo's home is removed")
    if demo.missing:
        print(f"Left out, as no toolchain could be had here: {', '.join(sorted(demo.missing))}.")
    for problem in demo.problems:
        print(f"Not as it should be: {problem}")
    print(f"The demo took {time.monotonic() - began:.0f} s.")
    show_what_is_next()
    return 1 if demo.problems else 0


@contextlib.contextmanager
def _grid() -> Iterator[Demo]:
    folder = Path(tempfile.mkdtemp(prefix="wasmgrid-demo-"))
    demo = Demo(folder)
    try:
        heading("Toolchains: installed once per user, then shared by all grids")
        demo.install()
        heading("A grid on this machine: server, fabric and one worker")
        if demo.type("up", "--detach").returncode == 0:
            demo.type("workers")
            yield demo
        else:
            _give_up(demo)
    finally:
        demo.stop()
        shutil.rmtree(folder, ignore_errors=True)


def show_sleep(demo: Demo) -> None:
    """The prototype's two commands: a job that sleeps, looked at while it runs and after."""
    heading("A Rust program that sleeps five seconds")
    if "rust" in demo.missing:
        print("Left out.")
        return
    words = ("run", "examples/hello.rs", "--cpus", "1", "--memory-mb", "1000", "--job-name", "sleep", "--detach")
    job_id = _job_id(demo.type(*words))
    if job_id is None:
        demo.problems.append("wasmgrid run told no job id")
        return
    deadline = time.monotonic() + 60
    while demo.job(job_id).get("state") in {"building", "queued"} and time.monotonic() < deadline:
        time.sleep(0.1)
    heading("Its status while it runs")
    demo.type("status", "--id", job_id)
    heading("Its status after")
    demo.quietly("wait", job_id)
    demo.type("status", "--id", job_id)


def show_languages(demo: Demo) -> None:
    """One program per language; the first three words of a run's last line say how its module came to be."""
    for language, program in PROGRAMS.items():
        heading(f"{program}: compiled in a sandbox, run, its statistics in the last line")
        if language in demo.missing:
            print("Left out.")
        else:
            demo.type("run", f"examples/{program}", "--job-name", language)


def show_cache(demo: Demo) -> None:
    """The same source again costs no compiler."""
    heading("The same source again: the build cache answers, no compiler runs")
    done = demo.type("run", f"examples/{_a_program(demo)}", "--job-name", "again")
    demo.again = _job_id(done) or "last"


def show_compile_error(demo: Demo) -> None:
    """What a mistake in a source looks like."""
    heading("A program that does not compile: the compiler's own words, exit code 126")
    if "rust" in demo.missing:
        print("Left out.")
    else:
        demo.type("run", "examples/broken.rs", "--job-name", "broken", expect=BUILD_FAILED)


def show_module(demo: Demo) -> None:
    """The .wasm comes back, and is a program by itself."""
    heading("The .wasm of a job, downloaded and run again as it is")
    program = _a_program(demo)
    module = str(demo.folder / f"{Path(program).stem}.wasm")
    demo.type("wasm", demo.again, "-o", module)
    demo.type("run", module, "--job-name", "module")


def show_statistics(demo: Demo) -> None:
    """A table of what each job cost."""
    heading("Statistics of all jobs")
    listed = json.loads(demo.quietly("jobs", "--json").stdout or "[]")
    jobs = listed["jobs"] if isinstance(listed, dict) else listed
    rows: list[tuple[str, ...]] = [
        ("id", "name", "state", "outcome", "build", "queue ms", "run ms", "cpu ms", "peak MiB", "output B")
    ]
    rows += [_row(demo.job(str(job["id"]))) for job in sorted(jobs, key=lambda job: int(job["id"]))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        left, right = row[:5], row[5:]
        cells = [cell.ljust(width) for cell, width in zip(left, widths, strict=False)]
        cells += [cell.rjust(width) for cell, width in zip(right, widths[5:], strict=True)]
        print("  ".join(cells).rstrip())


def show_what_is_next() -> None:
    """The commands that a newcomer types after this."""
    heading("Now yours")
    bins = COMMAND.parent.relative_to(ROOT) if COMMAND.is_relative_to(ROOT) else COMMAND.parent
    print(_dim(f'$ export PATH="$PWD/{bins}:$PATH"' if not bins.is_absolute() else f'$ export PATH="{bins}:$PATH"'))
    for command, what in NEXT:
        print(f"{_dim(f'$ wasmgrid {command}')}{' ' * (36 - len(command))}{what}")


def _row(job: dict[str, Any]) -> tuple[str, ...]:
    result, build = job.get("result") or {}, job.get("build") or {}
    stats = result.get("stats") or {}
    built = "" if not build else "cached" if build.get("cached") else f"{build.get('build_ms') or 0:.0f} ms"
    peak = stats.get("peak_memory_bytes")
    return (
        str(job["id"]),
        job.get("name") or "-",
        job["state"],
        result.get("outcome") or "-",
        built or "-",
        *(f"{stats[key]:.1f}" if stats.get(key) is not None else "-" for key in ("queue_ms", "wall_ms", "cpu_ms")),
        f"{peak / (1 << 20):.1f}" if peak else "-",
        str(stats.get("output_bytes", "-")),
    )


def _job_id(done: subprocess.CompletedProcess[str]) -> str | None:
    match = re.search(r"id: (\d+)", done.stdout)
    return match[1] if match else None


def _a_program(demo: Demo) -> str:
    """A compiled program that can be had here; WAT always can."""
    return next(PROGRAMS[language] for language in ("cpp", "c", "zig", "go", "wat") if language not in demo.missing)


def heading(text: str) -> None:
    """Say what happens next."""
    print(f"\n\033[1m== {text}\033[0m" if COLOR else f"\n== {text}", flush=True)


def _dim(text: str) -> str:
    return f"\033[36m{text}\033[0m" if COLOR else text


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _give_up(demo: Demo) -> NoReturn:
    log = demo.folder / "home" / "logs"
    for path in sorted(log.glob("*")) if log.is_dir() else []:
        print(f"-- {path.name}\n{path.read_text(encoding='utf-8', errors='replace')[-2000:]}", file=sys.stderr)
    raise SystemExit("the grid did not start")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("\ninterrupted; what was started is stopped", file=sys.stderr)
        sys.exit(130)
