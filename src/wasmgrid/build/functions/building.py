"""Compiles a project so that one of its functions can be called.

What is generated must never be what its author reads: where the wrapped project is refused, the project is judged again
as it came. If that is refused, those words are told; if not, the function itself cannot be called, and why is told.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from wasmgrid.build import verdict
from wasmgrid.build.compiling import Compiled, Project, compile_project, with_suffix
from wasmgrid.build.functions.wrap import Wanted
from wasmgrid.build.limits import BuildLimits
from wasmgrid.build.sandbox import Sandbox
from wasmgrid.build.toolchains.language import Language


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
    wrapped = dataclasses.replace(project, files=calls.wrap(wanted))
    made = await compile_project(sandbox, language, tools, wrapped, parent, limits)
    if made.module is not None or made.stopped:
        return made
    plain = dataclasses.replace(project, function=None)
    judged = await compile_project(sandbox, language, tools, plain, parent, limits, ask=calls.check)
    if not judged.outcome.succeeded:
        return dataclasses.replace(judged, build_ms=made.build_ms + judged.build_ms)
    why = verdict.failed(calls.why(wanted, made.diagnostics))
    return Compiled(outcome=why, build_ms=made.build_ms + judged.build_ms)
