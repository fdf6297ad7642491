"""Which sandbox works on this machine, found by running a program in it."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from wasmgrid.build import bubblewrap
from wasmgrid.build.box import Box
from wasmgrid.build.sandbox import REMEDY, Kind, Sandbox
from wasmgrid.core.errors import SandboxUnavailable

_PROBE_S = 20.0


async def find_sandbox(*, unsandboxed: bool = False) -> Sandbox:
    """The best sandbox that works here; `unsandboxed`: none, as the operator asked. Raises `SandboxUnavailable`."""
    if unsandboxed:
        return Sandbox(kind=Kind.NONE)
    if sys.platform != "linux":
        raise SandboxUnavailable("compilers are sandboxed on Linux only", hint="build on Linux; ready .wasm runs here")
    root = os.geteuid() == 0
    tried = [Sandbox(kind=Kind.BUBBLEWRAP, bwrap=bwrap, root=root) for bwrap in bubblewrap.candidates()]
    reasons = []
    for sandbox in [*tried, Sandbox(kind=Kind.LANDLOCK, root=root)]:
        problem = await _problem(sandbox)
        if problem is None:
            return sandbox
        reasons.append(f"{sandbox.bwrap or sandbox.kind}: {problem}")
    raise SandboxUnavailable(f"no sandbox for compilers works here ({'; '.join(reasons)})", hint=REMEDY)


async def _problem(sandbox: Sandbox) -> str | None:
    """Why `true` does not run in it, or None."""
    work = Path(tempfile.mkdtemp(prefix="wasmgrid-probe-"))
    try:
        for name in ("src", "out", "tmp"):
            (work / name).mkdir()
        box = Box(work=work, tools={})
        sandbox.prepare(box)
        ended = await sandbox.run(box, ["/usr/bin/true"], {}, cpu_s=_PROBE_S, wall_s=_PROBE_S)
    except SandboxUnavailable as error:
        return error.message
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if ended.exit_code == 0 and ended.limit is None:
        return None
    return ended.said.decode("utf-8", "replace").strip()[:300] or f"ended with {ended.exit_code}"
