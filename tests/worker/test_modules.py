"""The module cache: fetched once, compiled once, trusted only while it vouches, within limits. Rows of HOSTILE.md."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import wasmtime
from tests.processes import children

from wasmgrid.core.digest import sha256_hex
from wasmgrid.core.errors import DigestMismatch, InvalidField
from wasmgrid.core.limits import MB
from wasmgrid.core.outcome import Outcome, OutcomeKind
from wasmgrid.worker.modules import ModuleCache
from wasmgrid.worker.precompile import precompile
from wasmgrid.worker.task import PreparedModule

pytestmark = pytest.mark.timeout(120)

WASM = bytes(wasmtime.wat2wasm('(module (func (export "_start")))'))
SHA256 = sha256_hex(WASM)


class Fetcher:
    """Brings one module and counts how often."""

    def __init__(self, wasm: bytes = WASM) -> None:
        self.calls = 0
        self._wasm = wasm

    async def __call__(self, path: Path) -> None:
        self.calls += 1
        await asyncio.sleep(0)
        await asyncio.to_thread(path.write_bytes, self._wasm)


async def get(
    cache: ModuleCache, fetch: Callable[[Path], Awaitable[object]], sha256: str = SHA256, *, metered: bool = False
) -> PreparedModule | Outcome:
    async with cache.hold(sha256, fetch, metered=metered) as prepared:
        return prepared


def prepared(cache: ModuleCache, fetch: Callable[[Path], Awaitable[object]]) -> PreparedModule:
    """The module, which must be fine."""
    found = asyncio.run(get(cache, fetch))
    assert isinstance(found, PreparedModule), found
    return found


def test_fetched_and_compiled_once(tmp_path: Path) -> None:
    cache, fetch = ModuleCache(tmp_path), Fetcher()
    first = prepared(cache, fetch)
    assert (first.module_cached, first.precompile_cached) == (False, False)
    assert first.precompile_ms > 0
    second = prepared(cache, fetch)
    assert (second.module_cached, second.precompile_cached, second.precompile_ms) == (True, True, 0)
    assert second.path == first.path
    later = prepared(ModuleCache(tmp_path), fetch)  # the agent's next life
    assert later.precompile_cached
    assert fetch.calls == 1
    assert cache.count == 1


def test_many_at_once_compile_once(tmp_path: Path) -> None:
    async def many() -> list[PreparedModule | Outcome]:
        cache = ModuleCache(tmp_path)
        return list(await asyncio.gather(*[get(cache, fetch) for _ in range(20)]))

    fetch = Fetcher()
    found = asyncio.run(many())
    assert sum(isinstance(one, PreparedModule) and not one.precompile_cached for one in found) == 1
    assert fetch.calls == 1


def test_metered_and_unmetered_are_two_files_of_one_module(tmp_path: Path) -> None:
    async def both() -> tuple[PreparedModule | Outcome, PreparedModule | Outcome]:
        cache = ModuleCache(tmp_path)
        return await get(cache, fetch), await get(cache, fetch, metered=True)

    fetch = Fetcher()
    plain, metered = asyncio.run(both())
    assert isinstance(plain, PreparedModule)
    assert isinstance(metered, PreparedModule)
    assert plain.path != metered.path
    assert (metered.metered, metered.module_cached, fetch.calls) == (True, True, 1)


def test_a_module_that_was_built_here_is_not_fetched(tmp_path: Path) -> None:
    async def build_and_run() -> PreparedModule | Outcome:
        cache = ModuleCache(tmp_path)
        await cache.add(SHA256, WASM)
        return await get(cache, fetch)

    fetch = Fetcher()
    found = asyncio.run(build_and_run())
    assert isinstance(found, PreparedModule)
    assert (found.module_cached, found.precompile_cached, fetch.calls) == (True, False, 0)


@pytest.mark.parametrize("restarted", [False, True])
def test_hostile_17_a_poisoned_precompiled_file_is_rebuilt(tmp_path: Path, restarted: bool) -> None:
    cache, fetch = ModuleCache(tmp_path), Fetcher()
    path = prepared(cache, fetch).path
    good = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(b"poison" + good[6:])
    again = prepared(ModuleCache(tmp_path) if restarted else cache, fetch)
    assert not again.precompile_cached
    assert again.path.read_bytes()[:6] == good[:6]


def test_hostile_17_a_foreign_precompiled_file_with_its_own_tag(tmp_path: Path) -> None:
    other, mine = ModuleCache(tmp_path / "other"), ModuleCache(tmp_path / "mine")
    theirs = prepared(other, Fetcher()).path
    for suffix in (".cwasm", ".tag"):
        (tmp_path / "mine/precompiled" / theirs.with_suffix(suffix).name).write_bytes(
            theirs.with_suffix(suffix).read_bytes()
        )
    assert not prepared(mine, Fetcher()).precompile_cached


def test_hostile_17_a_damaged_module_is_fetched_again(tmp_path: Path) -> None:
    cache, fetch = ModuleCache(tmp_path), Fetcher()
    path = prepared(cache, fetch).path
    path.unlink()
    (tmp_path / "modules" / f"{SHA256}.wasm").write_bytes(b"other")
    assert not prepared(cache, fetch).module_cached
    assert fetch.calls == 2


def test_what_comes_in_must_match_its_digest(tmp_path: Path) -> None:
    cache = ModuleCache(tmp_path)
    with pytest.raises(DigestMismatch):
        prepared(cache, Fetcher(b"another"))
    assert prepared(cache, Fetcher()).sha256 == SHA256  # and it can still be had


def test_a_name_that_is_no_digest_never_becomes_a_path(tmp_path: Path) -> None:
    with pytest.raises(InvalidField):
        asyncio.run(get(ModuleCache(tmp_path), Fetcher(), "../../etc/passwd"))


def test_garbage_is_a_rejected_outcome(tmp_path: Path) -> None:
    found = asyncio.run(
        get(ModuleCache(tmp_path), Fetcher(b"\0asm\1\0\0\0garbage"), sha256_hex(b"\0asm\1\0\0\0garbage"))
    )
    assert isinstance(found, Outcome)
    assert found.kind is OutcomeKind.REJECTED
    assert "not valid" in (found.message or "")


def slow_to_compile(branches: int = 40_000) -> bytes:
    """A function that costs a compiler seconds and much memory: branches over variables that all stay alive."""
    names = [f"$v{number}" for number in range(20)]
    code = "".join(
        f"(if (i64.eqz (local.get {names[n % 20]})) (then"
        f" (local.set {names[n % 7]} (i64.mul (local.get {names[n % 13]}) (local.get {names[n % 11]})))"
        f" (i64.store (i32.const {n}) (local.get {names[n % 17]}))))"
        for n in range(branches)
    )
    variables = " ".join(f"(local {name} i64)" for name in names)
    return bytes(wasmtime.wat2wasm(f'(module (memory 2) (func (export "_start") {variables} {code}))'))


def test_hostile_25_a_module_that_takes_minutes_to_compile(tmp_path: Path) -> None:
    wasm = slow_to_compile()
    cache, fetch = ModuleCache(tmp_path, cpu_s=1), Fetcher(wasm)
    for _ in range(2):
        found = asyncio.run(get(cache, fetch, sha256_hex(wasm)))
        assert isinstance(found, Outcome)
        assert found.kind is OutcomeKind.REJECTED
        assert "1 s of cpu time" in (found.message or "")
    assert fetch.calls == 1  # remembered
    assert isinstance(asyncio.run(get(cache, Fetcher())), PreparedModule)
    assert not list((tmp_path / "work").iterdir())


def test_hostile_25_a_module_that_takes_gigabytes_to_compile(tmp_path: Path) -> None:
    wasm = slow_to_compile()
    found = asyncio.run(get(ModuleCache(tmp_path, memory_mb=200), Fetcher(wasm), sha256_hex(wasm)))
    assert isinstance(found, Outcome)
    assert found.kind is OutcomeKind.REJECTED
    assert "200 MB of memory" in (found.message or "")


def test_a_compiler_that_somebody_killed_says_nothing_of_its_module(tmp_path: Path) -> None:
    async def test() -> None:
        fetch = Fetcher()
        cache = ModuleCache(tmp_path)
        compiling = asyncio.create_task(get(cache, fetch))
        while not (found := [pid for pid, command in children(os.getpid()).items() if "runner.precompile" in command]):
            assert not compiling.done()
            await asyncio.sleep(0.001)
        os.kill(found[0], signal.SIGKILL)
        with pytest.raises(ChildProcessError, match="was killed"):
            await compiling
        assert isinstance(await get(cache, fetch), PreparedModule)

    asyncio.run(test())


def test_cancelling_ends_the_compiler(tmp_path: Path) -> None:
    async def cancel() -> None:
        started = asyncio.Event()

        async def ensure() -> None:
            async with cache.hold(sha256_hex(wasm), Fetcher(wasm), on_precompile=started.set):
                pass

        cache = ModuleCache(tmp_path)
        task = asyncio.create_task(ensure())
        await started.wait()
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert isinstance(await get(cache, Fetcher()), PreparedModule)  # the next one is not held up

    wasm = slow_to_compile()
    asyncio.run(cancel())
    assert not list((tmp_path / "work").iterdir())


def test_the_oldest_go_when_it_is_full_but_not_what_is_held(tmp_path: Path) -> None:
    padding = "x" * 50_000
    modules = [bytes(wasmtime.wat2wasm(f'(module (memory 1) (data "{n}{padding}"))')) for n in range(9)]
    cache = ModuleCache(tmp_path, keep_bytes=MB // 4)

    async def fill() -> PreparedModule | Outcome:
        async with cache.hold(sha256_hex(modules[0]), Fetcher(modules[0])) as held:
            for wasm in modules[1:]:
                await get(cache, Fetcher(wasm), sha256_hex(wasm))
        return held

    held = asyncio.run(fill())
    assert isinstance(held, PreparedModule)
    assert held.path.exists()
    sizes = [path.stat().st_size for path in tmp_path.rglob("*wasm")]
    assert sum(sizes) <= MB // 4 + 2 * max(sizes)
    assert cache.count < 5


def test_the_directory_is_private(tmp_path: Path) -> None:
    ModuleCache(tmp_path / "cache")
    assert (tmp_path / "cache").stat().st_mode & 0o077 == 0
    assert (tmp_path / "cache/key").stat().st_mode & 0o077 == 0


def many_functions(count: int) -> bytes:
    """A module that takes a while to compile."""
    body = "(i32.add (i32.mul (local.get 0) (i32.const 7777)) (i32.xor (local.get 0) (i32.const 123456)))"
    functions = "".join(f'(func (export "f{number}") (param i32) (result i32) {body})' for number in range(count))
    return bytes(wasmtime.wat2wasm(f'(module (func (export "_start")) {functions})'))


def test_what_was_built_here_is_compiled_once_and_before_anyone_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[bool] = []

    async def counted(*files: Path, metered: bool, memory_mb: int, cpu_s: int) -> Outcome | None:
        compiled.append(metered)
        return await precompile(*files, metered=metered, memory_mb=memory_mb, cpu_s=cpu_s)

    async def nowhere(_: Path) -> None:
        raise AssertionError("it is here")

    async def test() -> None:
        wasm = many_functions(5_000)
        sha256, cache = sha256_hex(wasm), ModuleCache(tmp_path)
        await cache.add(sha256, wasm)
        cache.prepare(sha256)
        assert cache.pin(sha256) is None
        found = await asyncio.gather(*[get(cache, nowhere, sha256) for _ in range(8)])
        assert all(isinstance(one, PreparedModule) and one.module_cached for one in found)
        assert compiled == [False]
        assert all(isinstance(one, PreparedModule) and one.precompile_cached for one in found)
        metered = await asyncio.gather(*[get(cache, nowhere, sha256, metered=True) for _ in range(8)])
        assert len({one.path for one in (*found, *metered) if isinstance(one, PreparedModule)}) == 2
        assert compiled == [False, True]
        pinned = cache.pin(sha256)
        assert pinned is not None
        assert pinned in found
        cache.release(pinned)
        await cache.close()

    monkeypatch.setattr("wasmgrid.worker.modules.precompile", counted)
    asyncio.run(test())


def test_preparing_what_is_gone_is_no_error(tmp_path: Path) -> None:
    async def test() -> None:
        cache = ModuleCache(tmp_path)
        cache.prepare(SHA256)
        cache.prepare(sha256_hex(b"another"))
        await asyncio.sleep(0)
        await cache.close()
        cache.prepare(SHA256)
        await asyncio.gather(*cache._preparing)
        assert cache.pin(SHA256) is None

    asyncio.run(test())
