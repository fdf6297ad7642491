"""Compiles a project so that one of its functions can be called.

What is generated must never be what its author reads: where the wrapped project is refused, the project is judged again
as it came. If that is refused, those words are told; if not, the function itself cannot be called, and why is told.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from wasmgrid.build import verdict
from wasmgrid.build.compiling import Compiled, Project, compile_project, with_suffix
from wasmgrid.build.functions.wrap import RESERVED, Unsupported, Wanted
from wasmgrid.build.limits import BuildLimits
from wasmgrid.build.sandbox import Sandbox
from wasmgrid.build.toolchains.language import Calls, Language

_Run = Callable[..., Awaitable[Compiled]]


async def compile_function(
    sandbox: Sandbox, language: Language, tools: Mapping[str, Path], project: Project, parent: Path, limits: BuildLimits
) -> Compiled:
    """Compile `project` (with a `function`) into a module for calls. Raises `SandboxUnavailable`."""
    calls = language.calls
    name = project.function
    if calls is None or name is None:  # a module's text: its exports are called
        return await compile_project(sandbox, language, tools, project, parent, limits)
    project = with_suffix(language, project)
    wanted = Wanted(files=project.files, entry=project.entry, flags=project.flags, name=name)
    run: _Run = functools.partial(compile_project, sandbox, language, tools, parent=parent, limits=limits)
    try:
        made, said = await _wrapped(run, calls, project, wanted)
    except Unsupported as error:
        return Compiled(outcome=verdict.failed(str(error)))
    if made is not None and (made.module is not None or made.stopped):
        return made
    judged = await run(dataclasses.replace(project, function=None), ask=calls.check)
    if judged.outcome.succeeded and made is not None and (own := calls.own(said)):
        judged = dataclasses.replace(made, diagnostics=own)
    elif judged.outcome.succeeded:  # the file is in order, so it is about the function
        judged = Compiled(outcome=verdict.failed(calls.why(wanted, said)), build_ms=judged.build_ms)
    return dataclasses.replace(judged, build_ms=judged.build_ms + (made.build_ms if made else 0))


async def _wrapped(run: _Run, calls: Calls, project: Project, wanted: Wanted) -> tuple[Compiled | None, str]:
    """The wrapped project as it was compiled, or None where its types could not be asked; the compiler's words."""
    if taken := [path for path in project.files if path.rpartition("/")[2].startswith(RESERVED)]:
        raise Unsupported(f"the file {taken[0]} has one of the grid's own names; they begin with {RESERVED}")
    if calls.typed is not None:
        asked = await run(dataclasses.replace(project, files=calls.typed(wanted)), ask=calls.ask)
        if not asked.outcome.succeeded:
            return (asked if asked.stopped else None), asked.diagnostics
        wanted = dataclasses.replace(wanted, types=asked.diagnostics)
    made = await run(dataclasses.replace(project, files=calls.wrap(wanted)))
    return made, made.diagnostics
