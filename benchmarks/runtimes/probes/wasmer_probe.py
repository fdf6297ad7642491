"""Wasmer through wasmer-sdk: a package out of the module, and a sandbox per run, which is its fresh start."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import wasmer_sdk

from benchmarks.runtimes.probes.report import report


def main() -> None:
    """Measure."""
    loop, wasm = asyncio.new_event_loop(), Path(sys.argv[1]).read_bytes()
    wasmer = wasmer_sdk.Wasmer(cache_root=tempfile.mkdtemp())
    loaded: list[wasmer_sdk.Package] = []

    async def run(args: list[str]) -> bytes:
        if not loaded:
            loaded.append(await wasmer.packages.load(wasm))
        async with await wasmer.sandboxes.create(packages=loaded) as sandbox:
            output = await sandbox.command(loaded[0], args).run()
        return bytes(output.stdout.bytes)

    report(f"wasmer-sdk {version('wasmer-sdk')}", lambda args: loop.run_until_complete(run(args)))
    loop.run_until_complete(wasmer.close())
    loop.close()


if __name__ == "__main__":
    main()
