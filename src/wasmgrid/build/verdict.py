"""What a compiler's end means, in words for whoever wrote the source."""

from __future__ import annotations

import re

from wasmgrid.build.box import Box, Ended, View
from wasmgrid.core.errors import WasmgridError
from wasmgrid.core.outcome import Outcome, OutcomeKind

_KILLED, _CPU_EXCEEDED, _FILE_TOO_LARGE = 128 + 9, 128 + 24, 128 + 25
_SEEN_NEAR = 0.9  # a process that the kernel ended at its own cap was seen near it
# How compilers say that an allocation was refused by the cap on their address space.
_OUT_OF_MEMORY = re.compile(
    rb"memory allocation of \d+ bytes failed|out of memory|OutOfMemory|cannot allocate memory|bad_alloc",
    re.IGNORECASE,
)
_TOO_LARGE = re.compile(rb"File too large|FileTooBig|file size limit", re.IGNORECASE)
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


def failed(message: str) -> Outcome:
    """The source is at fault."""
    return Outcome(kind=OutcomeKind.BUILD_FAILED, message=message)


def rejected(message: str) -> Outcome:
    """Nobody's source is at fault: this worker cannot build it now."""
    return Outcome(kind=OutcomeKind.REJECTED, message=message)


def told(error: WasmgridError) -> str:
    """An error as the one sentence of an outcome."""
    return error.message + (f" · {error.hint}" if error.hint else "")


def judge(ended: Ended, box: Box) -> Outcome | None:
    """Why a compiler run was no success, or None where it was one."""
    if ended.exit_code == 0 and ended.limit is None:
        return None
    limit = ended.limit or _limit_by_signs(ended, box)
    if limit is not None:
        return failed(f"the compiler was stopped at its limit of {limit} ({_amount(limit, box)})")
    return failed("the compiler refused the source")


def _limit_by_signs(ended: Ended, box: Box) -> str | None:
    """Where a compiler met a cap of its own process before the watch saw it."""
    if ended.exit_code == _FILE_TOO_LARGE or _TOO_LARGE.search(ended.said):
        return "output size"
    if ended.exit_code == _CPU_EXCEEDED or (
        ended.exit_code == _KILLED and ended.cpu_s >= _SEEN_NEAR * box.limits.cpu_s
    ):
        return "cpu time"
    if ended.exit_code == _KILLED or _OUT_OF_MEMORY.search(ended.said):
        return "memory"
    return None


def _amount(limit: str, box: Box) -> str:
    limits = box.limits
    return {
        "cpu time": f"{limits.cpu_s:g} s",
        "wall time": f"{limits.wall_s:g} s",
        "memory": f"{limits.memory_mb} MB",
        "disk": f"{limits.disk_mb} MB, {limits.files} files",
        "output size": f"{limits.file_mb} MB a file",
    }[limit]


def diagnostics(said: bytes, view: View, noise: str | None) -> str:
    """What the compiler said, in the project's own paths (`hello.rs:3:5`), without `noise`."""
    text = _ANSI.sub("", said.decode("utf-8", "replace"))
    if noise is not None:
        text = re.sub(noise, "", text, flags=re.MULTILINE)
    for tool, path in sorted(view.tools.items(), key=lambda item: -len(item[1])):
        text = text.replace(path, f"/toolchain/{tool}")
    text = text.replace(f"{view.src}/", "").replace(f"{view.out}/", "")
    return re.sub(r"(^|(?<=[\s'\"(]))\./(?=\w)", "", text)
