"""The child that turns a module into machine code: `python -m wasmgrid.runner.precompile SOCKET WASM OUT METERED ...`.

A hostile module can cost a compiler minutes and gigabytes, so this is a process that may be lost: confined as a runner
is, with its own limits of memory and cpu time, reading one descriptor and writing another. Exit code 0: done;
`REFUSED_EXIT_CODE`: the module is not valid, the reason is on stderr; anything else: it met a limit.
"""

from __future__ import annotations

import os
import resource
import sys

import msgspec
import wasmtime

from wasmgrid.core.limits import MB
from wasmgrid.runner import confine
from wasmgrid.runner.engine import make_engine
from wasmgrid.runner.frames import Channel, Setup
from wasmgrid.runner.runtime import REFUSED_EXIT_CODE


def main(channel: Channel, wasm: int, out: int, *, metered: bool, memory_mb: int, cpu_s: int) -> int:
    """Compile the module in `wasm` into `out`."""
    setup = channel.receive(msgspec.msgpack.Decoder(Setup))
    if setup is None:
        return 1
    confine.confine(setup)
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    if sys.platform == "linux":  # elsewhere the limit exists and means nothing
        resource.setrlimit(resource.RLIMIT_AS, (memory_mb * MB, memory_mb * MB))
    engine = make_engine(metered=metered, pooled=False)
    with open(wasm, "rb") as source, open(out, "wb") as target:
        try:
            module = wasmtime.Module(engine, source.read())
        except wasmtime.WasmtimeError as error:
            os.write(2, str(error).encode())
            return REFUSED_EXIT_CODE
        target.write(module.serialize())
    return 0


if __name__ == "__main__":
    socket, wasm_file, out_file, wants_fuel, memory, cpu = map(int, sys.argv[1:])
    sys.exit(main(Channel(socket), wasm_file, out_file, metered=bool(wants_fuel), memory_mb=memory, cpu_s=cpu))
