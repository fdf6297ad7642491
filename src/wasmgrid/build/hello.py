"""Runs a module once, in a process of its own, to see that a toolchain's hello says hello.

python -m wasmgrid.build.hello MODULE OUTPUT
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

_TIMEOUT_S = 60.0


async def prints(module: bytes, expected: str) -> bool:
    """Whether `module`, run as a program, exits by itself having printed exactly `expected`."""
    with tempfile.TemporaryDirectory(prefix="wasmgrid-hello-") as name:
        program, output = Path(name) / "hello.wasm", Path(name) / "stdout"
        program.write_bytes(module)
        argv = [sys.executable, "-I", "-m", "wasmgrid.build.hello", str(program), str(output)]
        quiet = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(*argv, stdin=quiet, stdout=quiet, stderr=quiet)
        try:
            code = await asyncio.wait_for(process.wait(), _TIMEOUT_S)
        except TimeoutError:
            return False
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return code == 0 and output.is_file() and output.read_bytes() == expected.encode()


def main(program: str, output: str) -> int:
    """Run `program` with its stdout in the file `output`; its exit code."""
    import wasmtime  # noqa: PLC0415 - only this process needs it

    engine = wasmtime.Engine()
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    store = wasmtime.Store(engine)
    wasi = wasmtime.WasiConfig()
    wasi.stdout_file = output
    store.set_wasi(wasi)
    instance = linker.instantiate(store, wasmtime.Module.from_file(engine, program))
    start = instance.exports(store)["_start"]
    try:
        start(store)  # type: ignore[operator] # a function, as the module was inspected
    except wasmtime.ExitTrap as ended:
        return int(ended.code)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
