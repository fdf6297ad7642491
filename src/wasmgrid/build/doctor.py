"""What there is to say about this machine's toolchains, for `wasmgrid toolchain list` and `check` and for `doctor`."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from wasmgrid.build import hello
from wasmgrid.build.builder import Builder
from wasmgrid.build.toolchains import LANGUAGES, named
from wasmgrid.core.bundle import is_bundle, unpack
from wasmgrid.core.digest import pack_files, sha256_hex
from wasmgrid.core.errors import SandboxUnavailable
from wasmgrid.core.job import SourceRef
from wasmgrid.core.outcome import OutcomeKind
from wasmgrid.core.resources import Resources
from wasmgrid.core.wire import BuildWork


class ToolchainStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One language here.

    `state` is ready, missing (`download_mb` and `install_s` say what installing costs) or builtin (nothing to install).
    `paths` are its components' directories, `disk_bytes` what they take (shared ones counted with each language),
    `users_own` whether the user's own compiler is used.
    """

    language: str
    state: str
    version: str
    identity: str
    paths: list[str] = []
    disk_bytes: int = 0
    download_mb: int = 0
    install_s: int = 0
    users_own: bool = False


class SandboxStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How compilers are held here: bubblewrap, landlock or none; where it is none, `problem` says what to do."""

    kind: str
    problem: str | None = None


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a toolchain compiled hello in the sandbox and that printed hello; `detail` says why it did not."""

    language: str
    ok: bool
    detail: str = ""
    build_ms: float = 0.0
    total_ms: float = 0.0


def toolchains(builder: Builder) -> list[ToolchainStatus]:
    """Every language's toolchain on this machine."""
    return [_status(builder, name) for name in sorted(LANGUAGES)]


async def sandbox(builder: Builder) -> SandboxStatus:
    """The sandbox that this machine allows."""
    try:
        return SandboxStatus(kind=(await builder.sandbox()).kind)
    except SandboxUnavailable as error:
        return SandboxStatus(kind="none", problem=str(error))


async def check(builder: Builder, language: str) -> Checked:
    """Compile a language's hello as any job's source would be, run it, and compare what it printed."""
    chosen = named(language)
    if not chosen.hello:
        return Checked(language=chosen.name, ok=True, detail="nothing to compile")
    started = time.monotonic()
    source = pack_files({path: text.encode() for path, text in chosen.hello.items()})
    reference = SourceRef(sha256=sha256_hex(source), language=chosen.name, entry=next(iter(chosen.hello)))
    work = BuildWork(build_id=0, build_key="", source=reference, toolchain="", need=Resources(), install=False)
    built = await builder.build(work, source)
    detail = ""
    if built.outcome.kind is not OutcomeKind.EXITED or built.module is None:
        detail = "\n".join(part for part in (built.outcome.message, built.diagnostics) if part)
    elif not await hello.prints(built.module, chosen.hello_stdout, _code(builder, built.module)):
        detail = "its hello compiled, and did not print hello"
    return Checked(
        language=chosen.name,
        ok=not detail,
        detail=detail,
        build_ms=built.build_ms,
        total_ms=(time.monotonic() - started) * 1000,
    )


def _code(builder: Builder, module: bytes) -> Path | None:
    """The machine code of a bundle's interpreter."""
    return builder.interpreter(unpack(module).interpreter).code if is_bundle(module) else None


def _status(builder: Builder, name: str) -> ToolchainStatus:
    language = LANGUAGES[name]
    described = builder.provision.toolchain(language)
    ready = builder.provision.ready(language)
    with_us = {str(path) for path in language.builtin().values()}  # what wasmgrid itself runs on is no toolchain
    tools = ready.tools.values() if ready is not None and language.components else ()
    paths = [path for path in tools if str(path) not in with_us]
    state = "missing" if ready is None else "ready" if language.components else "builtin"
    return ToolchainStatus(
        language=name,
        state=state,
        version=described.version,
        identity=described.identity,
        paths=[str(path) for path in paths],
        disk_bytes=sum(builder.provision.size(path) for path in paths),
        download_mb=described.download_mb,
        install_s=described.install_s,
        users_own=any(not Path(path).is_relative_to(builder.provision.directory) for path in paths),
    )
