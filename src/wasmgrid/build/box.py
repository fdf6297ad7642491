"""What one build sees: its own work directory and its toolchain; and how that looks from where the compiler runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from wasmgrid.build.limits import BuildLimits


@dataclass(frozen=True, kw_only=True)
class Box:
    """A work directory with `src`, `out` and `tmp` in it, and the toolchain's components, as they are on this machine.

    `overlays` names the components that the compiler may write to; nobody else ever sees what it wrote.
    """

    work: Path
    tools: Mapping[str, Path]
    overlays: tuple[str, ...] = ()
    limits: BuildLimits = field(default_factory=BuildLimits)


@dataclass(frozen=True, kw_only=True)
class View:
    """The directories of a box under the names that the compiler knows them by."""

    tools: Mapping[str, str]
    src: str
    out: str
    temp: str


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How one compiler run ended.

    `exit_code` is the program's, 128 + the signal where one killed it. `limit` names the cap that ended it (`cpu time`,
    `memory`, `wall time`, `disk`, `processes`), or is None. `said` is the head of its stdout and stderr together.
    """

    exit_code: int
    limit: str | None
    said: bytes
    truncated: bool
    cpu_s: float
    peak_memory_bytes: int


STAGE = "/tmp"  # noqa: S108 - where `launch` shows a box to a dropped user, in a mount namespace of its own


def inside(box: Box, *, copied: bool = False) -> View:
    """Under the fixed names of a namespace: the same on every machine, and nothing of the host is in them.

    `copied`: overlays are copies in the work directory, where they cannot be mounted.
    """
    tools = {name: f"/toolchain/{name}" for name in box.tools}
    if copied:
        tools |= {name: f"/work/overlay/{name}" for name in box.overlays}
    return View(tools=tools, src="/work/src", out="/work/out", temp="/tmp")  # noqa: S108 - the sandbox's own


def outside(box: Box, *, staged: bool = False) -> View:
    """Under real names, where there are no namespaces: the machine's, or those that `stage` shows."""
    seen = stage(box) if staged else {}
    work = seen.get(box.work, str(box.work))
    tools = {name: seen.get(path, str(path)) for name, path in box.tools.items()}
    tools |= {name: f"{work}/overlay/{name}" for name in box.overlays}
    return View(tools=tools, src=f"{work}/src", out=f"{work}/out", temp=f"{work}/tmp")  # noqa: S108 - its own


def stage(box: Box) -> dict[Path, str]:
    """Host directory -> the name under which a dropped user can reach it."""
    return {box.work: f"{STAGE}/work", **{path: f"{STAGE}/tool-{name}" for name, path in box.tools.items()}}
