"""Builds: a source in, a module or the compiler's words out. What a worker calls for every build task."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from wasmgrid.build import cgroups, hello, verdict
from wasmgrid.build.compiling import Project, compile_project
from wasmgrid.build.find_sandbox import find_sandbox
from wasmgrid.build.functions.building import compile_function
from wasmgrid.build.functions.names import check_function
from wasmgrid.build.installing import Progress
from wasmgrid.build.launch import NOBODY
from wasmgrid.build.limits import BuildLimits
from wasmgrid.build.project import check_source
from wasmgrid.build.provision import Provision, Ready
from wasmgrid.build.sandbox import Sandbox
from wasmgrid.build.toolchains import LANGUAGES, check_flags, named
from wasmgrid.build.toolchains.interpreters import Installed, installed
from wasmgrid.build.toolchains.language import HostTool, Language
from wasmgrid.build.wasm import inspect
from wasmgrid.build.workdir import remove
from wasmgrid.core.digest import sha256_hex, unpack_files
from wasmgrid.core.errors import InvalidModule, ToolchainUnavailable, WasmgridError
from wasmgrid.core.outcome import Outcome, exited
from wasmgrid.core.wire import BuildWork
from wasmgrid.core.worker import Toolchain

OnPhase = Callable[[str], None]


class Built(msgspec.Struct, frozen=True, kw_only=True):
    """What a build gave.

    `outcome` is exited(0) with `module`, build_failed (the source's fault) or rejected (this worker's). `toolchain` is
    the identity that compiled it, `diagnostics` the compiler's words, capped, `build_ms` wall time in the compiler.
    """

    outcome: Outcome
    module: bytes | None = None
    kind: str = "core"
    diagnostics: str = ""
    diagnostics_truncated: bool = False
    toolchain: str = ""
    build_ms: float = 0.0


class Builder:
    """Builds sources with the toolchains below `toolchains_dir`, at most `concurrency` at once.

    `work_dir` belongs to this builder alone and holds nothing between builds. `unsandboxed`: for one's own code only.
    """

    def __init__(
        self,
        toolchains_dir: Path,
        work_dir: Path,
        *,
        unsandboxed: bool = False,
        concurrency: int = 2,
        limits: BuildLimits | None = None,
    ) -> None:
        self.provision = Provision(toolchains_dir, probe=self._probe)
        self._work_dir = work_dir
        self._unsandboxed = unsandboxed
        self._limits = limits or BuildLimits()
        self._slots = asyncio.Semaphore(concurrency)
        self._installing = asyncio.Lock()
        self._sandbox: Sandbox | None = None
        for leftover in work_dir.glob("build-*"):  # of a former life that was killed
            remove(leftover)
        cgroups.sweep()

    def toolchains(self) -> list[Toolchain]:
        """Every language, with what it is here: ready, or what installing it would cost."""
        return [self.provision.toolchain(language) for language in LANGUAGES.values()]

    def interpreter(self, sha256: str) -> Installed:
        """Where the interpreter of this digest is on this machine, if it is."""
        return installed(sha256, self.provision.path)

    async def sandbox(self) -> Sandbox:
        """How compilers are held here; found once. Raises `SandboxUnavailable`."""
        if self._sandbox is None:
            self._sandbox = await find_sandbox(unsandboxed=self._unsandboxed)
        return self._sandbox

    async def install(self, names: Sequence[str], progress: Progress | None = None) -> dict[str, WasmgridError]:
        """Install the toolchains of these languages; language -> why it cannot be had, for those that cannot.

        `progress` is called in the event loop's thread.
        """
        loop = asyncio.get_running_loop()

        def told(text: str, done: int, total: int) -> None:
            if progress is not None:
                loop.call_soon_threadsafe(progress, text, done, total)

        async with self._installing:
            return await asyncio.to_thread(self.provision.install, [named(name) for name in names], told)

    async def build(self, work: BuildWork, source: bytes, *, on_phase: OnPhase = lambda _phase: None) -> Built:
        """Build `source` (the blob that `work.source` names). Never raises for what is in it; cancelling kills it."""
        try:
            language, files = await asyncio.to_thread(_read, work, source)
            if language.name == "wasm":
                return await asyncio.to_thread(_uploaded, files[work.source.entry], work)
            ready = await self._ready(language, work, on_phase)
            async with self._slots:
                on_phase("compiling")
                project = Project(
                    files=files,
                    entry=work.source.entry,
                    flags=work.source.build_flags,
                    function=work.source.function,
                )
                return await self._compile(language, ready, project)
        except WasmgridError as error:  # no toolchain, no sandbox, or a project that no server should have let in
            return Built(outcome=verdict.rejected(verdict.told(error)))
        except OSError as error:  # no space, no memory for another process
            return Built(outcome=verdict.rejected(f"the build could not be set up: {error}"))

    async def _compile(self, language: Language, ready: Ready, project: Project) -> Built:
        compiled = await compile_function(
            await self.sandbox(), language, ready.tools, project, self._work_dir, self._limits
        )
        return Built(
            outcome=compiled.outcome,
            module=compiled.module,
            diagnostics=compiled.diagnostics,
            diagnostics_truncated=compiled.truncated,
            toolchain=ready.identity,
            build_ms=compiled.build_ms,
        )

    async def _ready(self, language: Language, work: BuildWork, on_phase: OnPhase) -> Ready:
        """The toolchain; installed first where that is allowed."""
        await self.sandbox()  # nothing is installed where nothing may be compiled
        ready = self.provision.ready(language)
        if ready is None:
            if not work.install:
                raise ToolchainUnavailable(
                    f"the toolchain for {language.name} is not installed",
                    hint=f"wasmgrid toolchain install {language.name}",
                )
            return await self._install_for(language, on_phase)
        if work.toolchain not in {"", ready.identity}:
            raise ToolchainUnavailable(
                f"the toolchain for {language.name} is now {ready.identity}, the build was for {work.toolchain}",
                hint="submit the job again",
            )
        return ready

    async def _install_for(self, language: Language, on_phase: OnPhase) -> Ready:
        cost = self.provision.toolchain(language)
        about = f"installing the toolchain for {language.name} ({cost.download_mb} MB, about {cost.install_s} s)"
        on_phase(about)
        failed = await self.install(
            [language.name], lambda text, done, total: on_phase(f"{about}: {text} {done}/{total}")
        )
        if failed:
            raise failed[language.name]
        ready = self.provision.ready(language)
        if ready is None:
            raise ToolchainUnavailable(f"the toolchain for {language.name} was installed and is not there")
        return ready

    def _probe(self, language: Language, host: HostTool) -> bool:
        """Whether a user's own toolchain compiles hello in the sandbox, and that runs. Called in another thread."""
        self._work_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="build-probe-", dir=self._work_dir) as empty:
            if os.geteuid() == 0:
                os.chown(empty, NOBODY, NOBODY)
            caches = {name: Path(empty) for name in language.overlays if name not in host.tools}
            tools = {name: Path(path) for name, path in host.tools.items()}
            return asyncio.run(self._compiles_hello(language, {**tools, **caches}))

    async def _compiles_hello(self, language: Language, tools: Mapping[str, Path]) -> bool:
        project = Project(
            files={path: text.encode() for path, text in language.hello.items()}, entry=next(iter(language.hello))
        )
        sandbox = await find_sandbox(unsandboxed=self._unsandboxed)
        compiled = await compile_project(sandbox, language, tools, project, self._work_dir, self._limits)
        return compiled.module is not None and await hello.prints(compiled.module, language.hello_stdout)


def _read(work: BuildWork, source: bytes) -> tuple[Language, dict[str, bytes]]:
    """The language and the files, checked again: a server's word is not enough to write paths and run flags."""
    if sha256_hex(source) != work.source.sha256:
        raise InvalidModule("the source that came in is not the one that was submitted")
    language = named(work.source.language)
    try:
        files = unpack_files(source)
    except msgspec.DecodeError as error:
        raise InvalidModule(f"the source blob is damaged: {error}") from error
    check_source(files)
    check_flags(language.name, work.source.build_flags)
    if work.source.function is not None:
        check_function(language.name, work.source.function)
    if work.source.entry not in files:
        raise InvalidModule(f"the entry {work.source.entry[:200]!r} is not among the files")
    return language, files


def _uploaded(module: bytes, work: BuildWork) -> Built:
    """A ready module: nothing to compile, and the one who sent it is told what is wrong with it."""
    try:
        inspect(module, work.source.function)
    except InvalidModule as error:
        return Built(outcome=verdict.failed(verdict.told(error)), toolchain=work.toolchain)
    return Built(outcome=exited(0), module=module, toolchain=work.toolchain)
