"""One source through one toolchain in the sandbox: files in, a module or the compiler's words out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from wasmgrid.build import verdict
from wasmgrid.build.box import Box, Ended, View
from wasmgrid.build.debuginfo import without_debug
from wasmgrid.build.limits import BuildLimits
from wasmgrid.build.sandbox import Sandbox
from wasmgrid.build.toolchains.language import Command, Language, Unit
from wasmgrid.build.wasm import inspect
from wasmgrid.build.workdir import read_module, work_directory
from wasmgrid.core.bundle import Bundle, pack
from wasmgrid.core.errors import InvalidModule
from wasmgrid.core.outcome import Outcome, exited


@dataclass(frozen=True, kw_only=True)
class Project:
    """What is to be compiled: `files` (path -> content, checked), which of them is the main one, and allowed flags.

    `function`: the one that the module is to offer for calls.
    """

    files: Mapping[str, bytes]
    entry: str
    flags: Sequence[str] = ()
    function: str | None = None


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """`outcome` is exited(0) with `module`, or build_failed; `stopped`: a cap ended it, no judgement."""

    outcome: Outcome
    module: bytes | None = None
    stopped: bool = False
    diagnostics: str = ""
    truncated: bool = False
    build_ms: float = 0.0


async def compile_project(
    sandbox: Sandbox,
    language: Language,
    tools: Mapping[str, Path],
    project: Project,
    parent: Path,
    limits: BuildLimits,
    *,
    ask: Callable[[Unit], list[Command]] | None = None,
) -> Compiled:
    """Compile `project` in a new directory below `parent`, which is gone afterwards. Raises `SandboxUnavailable`.

    `ask`: run these commands instead, which make no module, for what they say.
    """
    started = time.monotonic()
    project = with_suffix(language, project)
    async with work_directory(parent, project.files) as work:
        box = Box(work=work, tools=tools, overlays=language.overlays, limits=limits)
        await asyncio.to_thread(sandbox.prepare, box)
        view = sandbox.view(box)
        run = await asyncio.to_thread(_Run, sandbox, ask or language.compile, box, view, project)  # looks at all files
        refused = await run.commands()
        if refused is not None:
            outcome, module = refused, None
        else:
            outcome, module = await asyncio.to_thread(run.module, language.bundle) if ask is None else (exited(0), None)
        return Compiled(
            outcome=outcome,
            module=module,
            stopped=run.stopped,
            diagnostics=verdict.diagnostics(run.said, view, language.noise),
            truncated=run.truncated,
            build_ms=(time.monotonic() - started) * 1000,
        )


def with_suffix(language: Language, project: Project) -> Project:
    """Compilers go by names: source from stdin gets one (`stdin` becomes `stdin.rs`)."""
    entry = project.entry
    known = entry.endswith((*language.suffixes, *language.also)) or entry.rpartition("/")[2] == language.manifest
    named = entry + language.suffixes[0]
    if known or named in project.files:
        return project
    files = {named if path == entry else path: content for path, content in project.files.items()}
    return replace(project, files=files, entry=named)


class _Run:
    """The commands of one compilation, one after the other, under caps that they share."""

    def __init__(
        self, sandbox: Sandbox, commands: Callable[[Unit], list[Command]], box: Box, view: View, project: Project
    ) -> None:
        self._sandbox = sandbox
        self._box = box
        self._limits = box.limits
        self._unit = unit = Unit(
            entry=project.entry,
            files=list(project.files),
            texts=project.files,
            flags=list(project.flags),
            function=project.function,
            tools=view.tools,
            src=view.src,
            out=view.out,
            temp=view.temp,
        )
        self._function = project.function
        self._commands = commands(unit)
        self._cpu_left_s = box.limits.cpu_s
        self._deadline = time.monotonic() + box.limits.wall_s
        self.said = b""
        self.truncated = False
        self.stopped = False

    async def commands(self) -> Outcome | None:
        """Run them until one fails; why it did, or None."""
        for command in self._commands:
            wall_s = max(0.0, self._deadline - time.monotonic())
            ended = await self._sandbox.run(
                self._box,
                command.argv,
                command.env,
                cpu_s=max(0.1, self._cpu_left_s),
                wall_s=wall_s,
                reserves_mb=command.reserves_mb,
            )
            self._heard(ended)
            self._cpu_left_s -= ended.cpu_s
            outcome = verdict.judge(ended, self._box)
            if outcome is not None:
                self.stopped = ended.limit is not None
                return outcome
        return None

    def _heard(self, ended: Ended) -> None:
        said = self.said + ended.said
        most = self._limits.diagnostics_bytes
        self.said = said[:most]
        self.truncated = self.truncated or ended.truncated or len(said) > most

    def module(self, make: Callable[[Unit, bytes], Bundle] | None) -> tuple[Outcome, bytes | None]:
        """The module that the last command made, or that `make` makes of what it left; judged."""
        try:
            wanted = self._commands[-1].produces
            out = self._box.work / "out"
            data = read_module(out, wanted, max_bytes=self._limits.module_bytes) if wanted else b""
            module = without_debug(data) if make is None else pack(make(self._unit, data))
            inspect(module, self._function)
        except InvalidModule as error:
            return verdict.failed(verdict.told(error)), None
        return exited(0), module
