"""Guests written in WAT, and real runner processes to run them in."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import wasmtime

from wasmgrid.core.digest import sha256_hex
from wasmgrid.core.job import Input
from wasmgrid.core.limits import Limits
from wasmgrid.core.outcome import Outcome
from wasmgrid.runner.frames import Confinement
from wasmgrid.worker.modules import ModuleCache
from wasmgrid.worker.runners import Runners
from wasmgrid.worker.task import PreparedModule, RangeReport, RunnerChunk, RunnerReport, Tasks

WASI = {
    "args_get": "i32 i32",
    "args_sizes_get": "i32 i32",
    "clock_time_get": "i32 i64 i32",
    "environ_get": "i32 i32",
    "environ_sizes_get": "i32 i32",
    "fd_close": "i32",
    "fd_read": "i32 i32 i32 i32",
    "fd_readdir": "i32 i32 i32 i64 i32",
    "fd_write": "i32 i32 i32 i32",
    "path_create_directory": "i32 i32 i32",
    "path_filestat_get": "i32 i32 i32 i32 i32",
    "path_link": "i32 i32 i32 i32 i32 i32 i32",
    "path_open": "i32 i32 i32 i32 i32 i64 i64 i32 i32",
    "path_readlink": "i32 i32 i32 i32 i32 i32",
    "path_rename": "i32 i32 i32 i32 i32 i32",
    "path_symlink": "i32 i32 i32 i32 i32",
    "path_unlink_file": "i32 i32 i32",
    "poll_oneoff": "i32 i32 i32 i32",
    "random_get": "i32 i32",
    "sock_accept": "i32 i32 i32",
}
CREATE, DIRECTORY, EXCLUSIVE, TRUNCATE = 1, 2, 4, 8
READ_RIGHTS, WRITE_RIGHTS = 0x2000002 | 1 << 14, 0x40 | 1 << 22
FIRST = 3  # the descriptor of /, then one per mounted input


class Guest:
    """A WASI command in the making: texts in its memory, statements in its `_start`.

    `note(call)` keeps a call's errno; `report()` writes all of them, a byte each, to stdout. Memory: 0-63 scratch for
    calls, 64-1023 notes, texts from 1024 on.
    """

    def __init__(self, *, pages: int = 2, maximum: int | None = None) -> None:
        self._memory = f"{pages} {maximum}" if maximum else str(pages)
        self._texts = bytearray()
        self._body: list[str] = []
        self._extra: list[str] = []

    def text(self, text: str) -> str:
        """`pointer length` of `text`, as WAT."""
        data = text.encode()
        at = 1024 + len(self._texts)
        self._texts += data
        return f"(i32.const {at}) (i32.const {len(data)})"

    def do(self, code: str) -> Guest:
        """Add a statement."""
        self._body.append(code)
        return self

    def define(self, code: str) -> Guest:
        """Add a field of the module."""
        self._extra.append(code)
        return self

    def note(self, name: str, *arguments: str | int) -> Guest:
        """Call a WASI function and keep its errno."""
        shown = " ".join(a if isinstance(a, str) else f"(i32.const {a})" for a in arguments)
        return self.do(f"(call $note (call ${name} {shown}))")

    def open(self, path: str, *, flags: int = 0, rights: int = READ_RIGHTS, directory: int = FIRST) -> Guest:
        """Open `path`; its errno is noted, the descriptor is left in memory at 0."""
        rest = f"(i32.const {flags}) (i64.const {rights}) (i64.const {rights}) (i32.const 0) (i32.const 0)"
        return self.do(f"(call $note (call $path_open (i32.const {directory}) (i32.const 1) {self.text(path)} {rest}))")

    def write(self, text: str, *, to: str = "(i32.const 1)") -> Guest:
        """Write `text` to a descriptor."""
        return self.do(f"(drop (call $write {to} {self.text(text)}))")

    def echo(self) -> Guest:
        """Read the descriptor at 0 once and write what came to stdout; closes it."""
        return self.do(
            "(i32.store (i32.const 16) (i32.const 65536)) (i32.store (i32.const 20) (i32.const 60000))"
            "(call $note (call $fd_read (i32.load (i32.const 0)) (i32.const 16) (i32.const 1) (i32.const 24)))"
            "(drop (call $write (i32.const 1) (i32.const 65536) (i32.load (i32.const 24))))"
            "(drop (call $fd_close (i32.load (i32.const 0))))"
        )

    def create(self, path: str, content: str, *, directory: int = FIRST) -> Guest:
        """Create a file with `content`."""
        self.open(path, flags=CREATE | TRUNCATE, rights=WRITE_RIGHTS, directory=directory)
        self.write(content, to="(i32.load (i32.const 0))")
        return self.do("(drop (call $fd_close (i32.load (i32.const 0))))")

    def report(self) -> Guest:
        """Write the noted errnos to stdout."""
        return self.do("(drop (call $write (i32.const 1) (i32.const 64) (global.get $notes)))")

    def exit(self, code: int) -> Guest:
        """End with `code`."""
        return self.do(f"(call $proc_exit (i32.const {code}))")

    def wat(self) -> str:
        """The module."""
        imports = "\n".join(
            f'(import "wasi_snapshot_preview1" "{name}" (func ${name} (param {signature}) (result i32)))'
            for name, signature in WASI.items()
        )
        data = "".join(f"\\{byte:02x}" for byte in self._texts)
        return f"""(module {imports}
          (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
          (memory (export "memory") {self._memory})
          (data (i32.const 1024) "{data}")
          (global $notes (mut i32) (i32.const 0))
          (func $note (param $errno i32)
            (i32.store8 (i32.add (i32.const 64) (global.get $notes)) (local.get $errno))
            (global.set $notes (i32.add (global.get $notes) (i32.const 1))))
          (func $write (param $fd i32) (param $at i32) (param $size i32) (result i32)
            (i32.store (i32.const 16) (local.get $at)) (i32.store (i32.const 20) (local.get $size))
            (call $fd_write (local.get $fd) (i32.const 16) (i32.const 1) (i32.const 24)))
          {" ".join(self._extra)}
          (func (export "_start") (local $i i32) (local $j i32) {" ".join(self._body)}))"""


class Ran(NamedTuple):
    """What came of a chunk."""

    reports: list[RunnerReport]
    ranges: list[RangeReport]
    rest: list[tuple[int, int]]


def _taken(rest: dict[str, Any], kind: type[msgspec.Struct]) -> dict[str, Any]:
    return {name: rest.pop(name) for name in kind.__struct_fields__ if name in rest}


def _part(tasks: Tasks, first: int, count: int) -> Tasks:
    at = first - tasks.first
    lines = None if tasks.lines is None else b"\n".join(tasks.lines.split(b"\n")[at : at + count])
    return msgspec.structs.replace(tasks, first=first, count=count, lines=lines)


class Bench:
    """A module cache and runners, driven synchronously from tests on one event loop."""

    def __init__(self, directory: Path) -> None:
        self._loop = asyncio.Runner()
        self._attempts = itertools.count(1)
        self.cache = ModuleCache(directory / "cache")
        self.runners = Runners(directory / "runners")
        self.confinement: Confinement = self.wait(self.runners.start())

    def wait(self, awaitable: Any) -> Any:
        """The result of a coroutine."""
        return self._loop.run(awaitable)

    async def prepare(self, module: Guest | str | bytes, *, metered: bool = False) -> PreparedModule | Outcome:
        """A module as a worker has it."""
        source = module.wat() if isinstance(module, Guest) else module
        wasm = bytes(wasmtime.wat2wasm(source)) if isinstance(source, str) else source

        async def fetch(path: Path) -> None:
            await asyncio.to_thread(path.write_bytes, wasm)

        async with self.cache.hold(sha256_hex(wasm), fetch, metered=metered) as prepared:
            return prepared

    async def task(self, module: Guest | str | bytes, *, tenant: str = "t", **rest: Any) -> RunnerChunk:
        """An attempt of `module`; limits and what differs between tasks are given by their own names."""
        limits = Limits(**{"memory_mb": 64, "wall_s": 20.0, "output_bytes": 1 << 20, **_taken(rest, Limits)})
        tasks = Tasks(**_taken(rest, Tasks))
        prepared = await self.prepare(module, metered=limits.fuel is not None)
        assert isinstance(prepared, PreparedModule), prepared
        chunk = {"attempt": next(self._attempts), "job_id": 1, "tenant": tenant, "module": prepared, **rest}
        return RunnerChunk(limits=limits, tasks=tasks, **chunk)

    async def run_task(self, task: RunnerChunk) -> RunnerReport:
        """Run a chunk of one."""
        ran = await self.run_chunk(task)
        assert (len(ran.reports), ran.ranges, ran.rest) == (1, [], []), ran
        return ran.reports[0]

    async def run_chunk(self, chunk: RunnerChunk) -> Ran:
        """Run a chunk."""
        ran = Ran([], [], [])

        def heard(reports: list[RunnerReport], ranges: list[RangeReport]) -> None:
            ran.reports.extend(reports)
            ran.ranges.extend(ranges)

        return ran._replace(rest=await self.runners.run_chunk(chunk, heard))

    async def arun(self, module: Guest | str | bytes, **rest: Any) -> RunnerReport:
        """Run one attempt at one task."""
        return await self.run_task(await self.task(module, **rest))

    def run_all(self, module: Guest | str | bytes, **rest: Any) -> Ran:
        """Run a chunk to its end, what a killed runner left undone in the next one."""

        async def work() -> Ran:
            chunk = await self.task(module, array=True, **rest)
            ran = await self.run_chunk(chunk)
            while ran.rest:
                more = await self.run_chunk(msgspec.structs.replace(chunk, tasks=_part(chunk.tasks, *ran.rest[0])))
                ran = Ran(ran.reports + more.reports, ran.ranges + more.ranges, more.rest + ran.rest[1:])
            return Ran(sorted(ran.reports, key=lambda one: one.index), ran.ranges, [])

        ran: Ran = self.wait(work())
        return ran

    def run(self, module: Guest | str | bytes, **rest: Any) -> RunnerReport:
        """Run one attempt to its end."""
        report: RunnerReport = self.wait(self.arun(module, **rest))
        return report

    async def said_something(self, task: RunnerChunk, index: int = 0) -> None:
        """Wait until the task, started by now, has written to stdout."""
        async with asyncio.timeout(20):
            said, key = b"", (task.attempt, index)
            while not said:
                said = (await self.runners.tail(key, stdout_offset=0, stderr_offset=0, wait_s=20)).stdout
                await asyncio.sleep(0.005)  # it may not be live yet

    def check_alive(self) -> None:
        """Runners still work, whatever the last guest did to its own."""
        report = self.run(Guest().write("alive"))
        assert (report.outcome.exit_code, report.stdout.data) == (0, b"alive"), report

    def close(self) -> None:
        """End every process."""
        self.wait(self.runners.close())
        self._loop.close()


def file_input(path: str, *, tree: bool = False, writable: bool = False) -> Input:
    """An input whose digest does not matter: its blob is there already."""
    return msgspec.convert({"path": path, "sha256": "0" * 64, "tree": tree, "writable": writable}, Input)
