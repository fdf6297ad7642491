"""Runs a module once, in a process of its own, to see that a toolchain's hello says hello.

python -m wasmgrid.build.hello MODULE OUTPUT [CODE SRC ARGUMENT ...]     CODE: an interpreter's machine code
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from wasmgrid.build.workdir import write_files
from wasmgrid.codegen import make_config
from wasmgrid.core.bundle import ROOT, is_bundle, unpack

_TIMEOUT_S = 60.0


async def prints(module: bytes, expected: str, code: Path | None = None) -> bool:
    """Whether `module`, run as a program, exits by itself having printed exactly `expected`.

    `code`: the machine code of the interpreter, where `module` is a bundle.
    """
    with tempfile.TemporaryDirectory(prefix="wasmgrid-hello-") as name:
        program, output = Path(name) / "hello.wasm", Path(name) / "stdout"
        program.write_bytes(module)
        argv = [sys.executable, "-I", "-m", "wasmgrid.build.hello", str(program), str(output)]
        if is_bundle(module[:1024]):
            bundle = unpack(module)
            (Path(name) / "src").mkdir()
            write_files(Path(name) / "src", bundle.files)
            argv += [str(code), f"{name}/src", *bundle.argv]
        quiet = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(*argv, stdin=quiet, stdout=quiet, stderr=quiet)
        try:
            exit_code = await asyncio.wait_for(process.wait(), _TIMEOUT_S)
        except TimeoutError:
            return False
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return exit_code == 0 and output.is_file() and output.read_bytes() == expected.encode()


def main(program: str, output: str, code: str = "", source: str = "", *argv: str) -> int:
    """Run `program` with its stdout in the file `output`; its exit code.

    `code`: run this machine code instead, with `argv`, and with the directory `source` where a bundle's files are.
    """
    import wasmtime  # noqa: PLC0415 - only this process needs it

    engine = wasmtime.Engine(make_config(metered=False) if code else None)
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    store = wasmtime.Store(engine)
    wasi = wasmtime.WasiConfig()
    wasi.stdout_file = output
    if code:
        store.set_epoch_deadline(1)
        wasi.argv = argv
        wasi.preopen_dir(source, ROOT, fs_mutable=False)
    store.set_wasi(wasi)
    load = wasmtime.Module.deserialize_file if code else wasmtime.Module.from_file
    instance = linker.instantiate(store, load(engine, code or program))
    start = instance.exports(store)["_start"]
    try:
        start(store)  # type: ignore[operator] # a function, as the module was inspected
    except wasmtime.ExitTrap as ended:
        return int(ended.code)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
