"""Real compilers in the real sandbox, out of $WASMGRID_TOOLCHAINS. Tests of a toolchain that is missing are skipped."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from wasmgrid.build.builder import Builder, Built
from wasmgrid.build.find_sandbox import find_sandbox
from wasmgrid.build.limits import BuildLimits
from wasmgrid.build.provision import default_directory
from wasmgrid.build.sandbox import Sandbox
from wasmgrid.build.toolchains import LANGUAGES, infer
from wasmgrid.core.digest import pack_files, sha256_hex
from wasmgrid.core.errors import SandboxUnavailable
from wasmgrid.core.job import SourceRef
from wasmgrid.core.resources import Resources
from wasmgrid.core.wire import BuildWork

Files = Mapping[str, str | bytes]
Build = Callable[..., Built]

WorkFor = Callable[..., tuple[BuildWork, bytes]]


def _work_for(
    files: Files,
    language: str | None = None,
    entry: str | None = None,
    flags: Sequence[str] = (),
    function: str | None = None,
    **more: object,
) -> tuple[BuildWork, bytes]:
    contents = {path: text.encode() if isinstance(text, str) else text for path, text in files.items()}
    inferred, main = infer(contents, language, entry)
    source = pack_files(contents)
    reference = SourceRef(
        sha256=sha256_hex(source), language=inferred, entry=main, build_flags=list(flags), function=function
    )
    given = {"build_id": 1, "build_key": "", "toolchain": "", "need": Resources(), "install": False, **more}
    return BuildWork(source=reference, **given), source  # type: ignore[arg-type]


@pytest.fixture
def work_for() -> WorkFor:
    """`work_for(files, language, entry, flags, **fields of BuildWork)`: what a leader sends, and the source's blob."""
    return _work_for


@functools.cache
def _ready(language: str) -> bool:
    builder = Builder(default_directory(), Path("/nonexistent"))
    return builder.provision.ready(LANGUAGES[language]) is not None


@functools.cache
def _sandbox() -> Sandbox:
    return asyncio.run(find_sandbox())


@pytest.fixture
def sandbox() -> Sandbox:
    """The best sandbox of this machine."""
    try:
        return _sandbox()
    except SandboxUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture
def need() -> Callable[..., None]:
    """`need("rust")` skips the test, loudly, where that toolchain is not installed."""

    def check(*languages: str) -> None:
        for language in languages:
            if not _ready(language):
                pytest.skip(f"no toolchain for {language}: wasmgrid toolchain install {language}")

    return check


@pytest.fixture
def make_builder(tmp_path: Path, sandbox: Sandbox) -> Callable[..., Builder]:
    """Builders with the installed toolchains and a work directory of their own; `held` in another sandbox."""

    def make(*, limits: BuildLimits | None = None, held: Sandbox | None = None, concurrency: int = 2) -> Builder:
        builder = Builder(default_directory(), tmp_path / "work", limits=limits, concurrency=concurrency)
        builder._sandbox = held or sandbox
        return builder

    return make


@pytest.fixture
def build(make_builder: Callable[..., Builder], need: Callable[..., None], tmp_path: Path) -> Build:
    """Build a project (path -> text) as a worker would; its work directory must be empty afterwards."""

    def run(
        files: Files,
        language: str | None = None,
        entry: str | None = None,
        flags: Sequence[str] = (),
        *,
        function: str | None = None,
        limits: BuildLimits | None = None,
        held: Sandbox | None = None,
    ) -> Built:
        work, source = _work_for(files, language, entry, flags, function)
        need(work.source.language)

        async def go() -> Built:
            return await make_builder(limits=limits, held=held).build(work, source)

        built = asyncio.run(go())
        leftovers = list((tmp_path / "work").iterdir()) if (tmp_path / "work").exists() else []
        assert leftovers == []
        return built

    return run
