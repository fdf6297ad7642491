"""The guests as modules, built by the project's own toolchains in its own sandbox, and as static native programs.

Both are kept below .cache/benchmarks/ by a digest of their source, so that they are compiled once.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable
from pathlib import Path

from benchmarks.environments import MissingError, tool
from benchmarks.figures import CACHE
from wasmgrid.build import toolchains
from wasmgrid.build.compiling import Project, compile_project
from wasmgrid.build.find_sandbox import find_sandbox
from wasmgrid.build.limits import BuildLimits
from wasmgrid.build.provision import Provision, default_directory
from wasmgrid.core.digest import sha256_hex
from wasmgrid.core.errors import WasmgridError

GUESTS = Path(__file__).with_name("guests")
_COMPILE_TIMEOUT_S = 300.0


def module(name: str) -> Path:
    """The .wasm of benchmarks/guests/`name`; raises `MissingError` where it cannot be built here."""
    return _kept(name, ".wasm", _build)


def native(name: str) -> Path:
    """The same program for this machine, statically linked; raises `MissingError`."""
    return _kept(name, "", _compile)


def _kept(name: str, suffix: str, make: Callable[[Path, Path], None]) -> Path:
    source = GUESTS / name
    digest = sha256_hex(source.read_bytes())[:12]
    path = CACHE / "modules" / f"{source.stem}-{source.suffix[1:]}-{digest}{suffix}"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.partial")
        make(source, partial)
        partial.replace(path)
    return path


def _build(source: Path, path: Path) -> None:
    try:
        path.write_bytes(asyncio.run(_module(source.name, source.read_bytes())))
    except WasmgridError as error:
        raise MissingError(f"{source.name} cannot be built here: {error}") from error


async def _module(name: str, source: bytes) -> bytes:
    files = {name: source}
    language = toolchains.named(toolchains.infer(files)[0])
    ready = Provision(default_directory()).ready(language)
    if ready is None:
        raise MissingError(f"the toolchain of {language.name} is not installed: make toolchains")
    sandbox = await find_sandbox()
    project = Project(files=files, entry=name)
    built = await compile_project(sandbox, language, ready.tools, project, path_for_work(), BuildLimits())
    if built.module is None:
        raise MissingError(f"{name} was not built: {built.diagnostics[:500] or built.outcome}")
    return built.module


def path_for_work() -> Path:
    """Where compilations have their directories."""
    folder = CACHE / "work"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _compile(source: Path, path: Path) -> None:
    argv, more = _native_command(source, path)
    ended = subprocess.run(argv, capture_output=True, text=True, timeout=_COMPILE_TIMEOUT_S, check=False, env=more)
    if ended.returncode:
        raise MissingError(f"{source.name} was not compiled for this machine: {ended.stderr.strip()[-300:]}")


def _native_command(source: Path, path: Path) -> tuple[list[str], dict[str, str] | None]:
    match source.suffix:
        case ".rs":
            flags = ["-O", "-C", "target-feature=+crt-static", "-C", "strip=symbols"]
            return [tool("rustc", "rustc"), *flags, str(source), "-o", str(path)], None
        case ".cpp":
            return [tool("g++", "g++"), "-O2", "-static", "-s", str(source), "-o", str(path)], None
        case _:
            ready = Provision(default_directory()).ready(toolchains.named("go"))
            if ready is None:
                raise MissingError("the toolchain of go is not installed: make toolchains")
            settings = {
                "CGO_ENABLED": "0",
                "GOCACHE": str(CACHE / "gocache"),
                "HOME": str(CACHE),
                "PATH": "/usr/bin:/bin",
            }
            go = str(ready.tools["go"] / "bin" / "go")
            return [go, "build", "-ldflags=-s -w", "-o", str(path), str(source)], settings
