"""How modules become machine code: one configuration for whatever compiles it and whatever loads it.

It stands alone (nothing of this package is imported here), because the compile sandbox runs its text, too.

    python -m wasmgrid.codegen WASM OUT      our own interpreters, once, when they are installed
"""

from __future__ import annotations

import hashlib
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import wasmtime

WASM_STACK_BYTES = 8 << 20  # what a native program has; two well-known recursive benchmarks need more than the default
MEMORIES = 1
_ASYNC_STACK_BYTES = 16 << 20  # unused, but must exceed the stack above


def make_config(*, metered: bool) -> wasmtime.Config:
    """The runtime's configuration: guests can be interrupted by epoch, and `metered` ones count fuel.

    `max_wasm_stack` above the default aborts the process unless `async_stack_size` is raised first, which only the
    private binding of wasmtime-py offers.
    """
    import wasmtime  # noqa: PLC0415 - heavy, and the sandbox brings its own
    from wasmtime import _ffi as ffi  # noqa: PLC0415

    config = wasmtime.Config()
    config.epoch_interruption = True
    config.consume_fuel = metered
    ffi.wasmtime_config_async_stack_size_set(config.ptr(), _ASYNC_STACK_BYTES)
    config.max_wasm_stack = WASM_STACK_BYTES
    config.parallel_compilation = False  # compilation is held to one core's time and memory
    config.wasm_threads = False  # a guest has one thread
    config.wasm_multi_memory = MEMORIES > 1  # the limit is per memory: one makes it exact
    config.wasm_component_model = True
    return config


def identity() -> str:
    """What a precompiled file depends on besides its module, as a digest: the runtime, the machine, the configuration.

    The runtime itself checks the same again when it loads a file.
    """
    machine = f"{platform.system()}-{platform.machine()}"
    facts = f"{version('wasmtime')} {machine} epoch stack={WASM_STACK_BYTES} threads=0 memories={MEMORIES} layout=1"
    return hashlib.sha256(facts.encode()).hexdigest()[:16]


def main(module: str, out: str) -> None:
    """Compile a module that is trusted, on all cores."""
    import wasmtime  # noqa: PLC0415

    config = make_config(metered=False)
    config.parallel_compilation = True
    compiled = wasmtime.Module(wasmtime.Engine(config), Path(module).read_bytes())
    Path(out).write_bytes(compiled.serialize())


if __name__ == "__main__" and sys.argv[0].endswith("codegen.py"):  # and not where it is a part of another text
    main(*sys.argv[1:])
