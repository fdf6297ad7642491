"""Modules that are no programs: kept for their functions, refused where nothing is called."""

from __future__ import annotations

import asyncio
from pathlib import Path

import wasmtime
from tests.server.bench import bench, check_problem

LIBRARY = bytes(wasmtime.wat2wasm('(module (func (export "one") (result i32) (i32.const 1)))'))


def test_a_library_is_kept_and_runs_only_by_a_function(tmp_path: Path) -> None:
    async def run() -> None:
        async with bench(tmp_path) as grid:
            module = await grid.module(LIBRARY)
            check_problem(await grid.submit(module_sha256=module), 400, "invalid_module", "function")
            called = await grid.submit(wait=30, module_sha256=module, function="one")
            assert called.json()["state"] == "succeeded"

    asyncio.run(run())
