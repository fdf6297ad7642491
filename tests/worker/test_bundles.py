"""Bundles on a worker: laid out once; machine code of their interpreter is taken only where it can be trusted."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest
import wasmtime
from tests.runner import scripts

from wasmgrid.build.builder import Builder
from wasmgrid.build.provision import default_directory
from wasmgrid.build.toolchains.interpreters import Installed
from wasmgrid.core.digest import sha256_hex
from wasmgrid.core.errors import InvalidModule, ModuleNotFound
from wasmgrid.core.interpreters import QUICKJS
from wasmgrid.worker import modules
from wasmgrid.worker.interpreters import Interpreters
from wasmgrid.worker.modules import ModuleCache
from wasmgrid.worker.precompile import precompile
from wasmgrid.worker.task import PreparedModule

MODULE = scripts.made({"lib/a.js": "1;\n", "main.js": 'import "./lib/a.js";\n'})
SHA256 = sha256_hex(MODULE)


@pytest.fixture
def installed() -> Installed:
    """QuickJS, where this machine has it."""
    found = Builder(default_directory(), Path("/nonexistent")).interpreter(QUICKJS.sha256)
    if found.code is None:
        pytest.skip("no interpreter here: wasmgrid toolchain install javascript")
    return found


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was compiled here, by the names of the modules' files."""
    names: list[str] = []
    real = precompile

    async def seen(wasm: Path, *rest: Any, **more: Any) -> Any:
        names.append(wasm.stem)
        return await real(wasm, *rest, **more)

    monkeypatch.setattr(modules, "precompile", seen)
    return names


async def fetch(path: Path) -> None:
    """Bring the bundle."""
    await asyncio.to_thread(path.write_bytes, MODULE)


def cache_with(directory: Path, found: Installed) -> ModuleCache:
    """A cache that finds the interpreter there, and has no store to ask."""
    cache = ModuleCache(directory / "cache")
    cache.interpreters = Interpreters(lambda _: found, None)  # type: ignore[arg-type]
    return cache


async def hold(cache: ModuleCache, **more: Any) -> PreparedModule:
    """The bundle, made ready."""
    async with cache.hold(SHA256, fetch, **more) as prepared:
        assert isinstance(prepared, PreparedModule), prepared
        return prepared


def test_machine_code_of_the_toolchain_is_taken_and_nothing_is_compiled(
    tmp_path: Path, installed: Installed, compiled: list[str]
) -> None:
    cache = cache_with(tmp_path, installed)
    prepared = asyncio.run(hold(cache))
    assert compiled == []
    assert prepared.sha256 == SHA256
    assert prepared.path.is_relative_to(tmp_path)  # a copy with a tag of this worker's own
    assert prepared.bundle is not None
    files = sorted(str(path.relative_to(prepared.bundle.directory)) for path in prepared.bundle.directory.rglob("*.js"))
    assert files[:2] == ["lib/a.js", "main.js"]
    assert QUICKJS.sha256 in cache.digests
    pinned = cache.pin(SHA256)
    assert pinned is not None
    assert pinned.bundle == prepared.bundle
    cache.release(pinned)
    assert cache._users == {}


def test_machine_code_that_others_could_have_written_is_not(
    tmp_path: Path, installed: Installed, compiled: list[str]
) -> None:
    assert installed.module is not None
    assert installed.code is not None
    for name, mode in (("group", 0o775), ("all", 0o757)):
        open_directory = tmp_path / name
        open_directory.mkdir()
        code = shutil.copyfile(installed.code, open_directory / "interpreter.cwasm")
        open_directory.chmod(mode)
        cache = cache_with(open_directory / "home", Installed(installed.module, Path(code)))
        if name == "group":
            asyncio.run(hold(cache))
            assert compiled == [QUICKJS.sha256]
        assert cache.interpreters is not None
        assert cache.interpreters.code(QUICKJS.sha256) is None


def test_a_link_in_the_place_of_machine_code_is_not_followed(tmp_path: Path, installed: Installed) -> None:
    assert installed.code is not None
    link = tmp_path / "interpreter.cwasm"
    link.symlink_to(installed.code)
    found = Interpreters(lambda _: Installed(None, link), None)  # type: ignore[arg-type]
    assert found.code(QUICKJS.sha256) is None


def test_metered_code_is_compiled_here(tmp_path: Path, installed: Installed, compiled: list[str]) -> None:
    prepared = asyncio.run(hold(cache_with(tmp_path, installed), metered=True))
    assert compiled == [QUICKJS.sha256]
    assert prepared.metered


def test_a_bundle_for_an_unknown_interpreter_is_refused(tmp_path: Path, installed: Installed) -> None:
    other = MODULE.replace(QUICKJS.sha256.encode(), b"0" * 64)

    async def fetch_other(path: Path) -> None:
        await asyncio.to_thread(path.write_bytes, other)

    async def go() -> None:
        async with cache_with(tmp_path, installed).hold(sha256_hex(other), fetch_other):
            pass

    with pytest.raises(InvalidModule, match="does not know"):
        asyncio.run(go())


def test_without_any_interpreter_it_is_told(tmp_path: Path) -> None:
    async def go() -> None:
        async with ModuleCache(tmp_path / "cache").hold(SHA256, fetch):
            pass

    with pytest.raises(ModuleNotFound):
        asyncio.run(go())


def test_a_plain_module_is_no_bundle(tmp_path: Path) -> None:
    plain = bytes(wasmtime.wat2wasm("(module)"))

    async def bring(path: Path) -> None:
        await asyncio.to_thread(path.write_bytes, plain)

    async def go() -> None:
        async with ModuleCache(tmp_path / "cache").hold(sha256_hex(plain), bring) as prepared:
            assert isinstance(prepared, PreparedModule)
            assert prepared.bundle is None

    asyncio.run(go())
