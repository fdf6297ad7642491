"""The engines of a runner, with the configuration of `codegen` and, where it fits, the pooling allocator.

Facts about wasmtime-py 50 that shaped it: the pooling allocator is reached through the private binding; it refuses
some modules, which the on-demand engine then loads from the same file.
"""

from __future__ import annotations

import wasmtime
from wasmtime import _ffi as ffi

from wasmgrid.codegen import make_config

_POOL_SLOTS = 2  # one guest at a time, and one whose memory is still being given back
_POOL_MEMORY_BYTES = 4 << 30  # reserved address space, not memory
_POOL_TABLES, _POOL_TABLE_ELEMENTS = 4, 100_000
# Memory that is zeroed by hand rather than given back: all of it is, whether it was touched or not. So little is best
# for small guests (15 us of a task's 60 less than with 1 MiB), and much for those that touch much of it (Go: a tenth).
_KEEP_RESIDENT_BYTES, _KEEP_RESIDENT_LARGE_BYTES = 128 << 10, 1 << 20

# Tables are the host's memory, on top of a guest's own: 8 bytes an element, 32 MB in all.
MAX_TABLE_ELEMENTS = 500_000
MAX_TABLES = 8


def make_engine(*, metered: bool, pooled: bool, large: bool = False) -> wasmtime.Engine:
    """An engine whose guests can be interrupted by epoch; `metered` counts fuel, `pooled` instantiates faster.

    `large`: its guests use a megabyte and more.
    """
    config = make_config(metered=metered)
    if pooled:
        _pool(config, _KEEP_RESIDENT_LARGE_BYTES if large else _KEEP_RESIDENT_BYTES)
    return wasmtime.Engine(config)


def _pool(config: wasmtime.Config, keep_bytes: int) -> None:
    pool = ffi.wasmtime_pooling_allocation_config_new()
    for kind in ("core_instances", "memories", "tables", "gc_heaps", "stacks"):
        per_instance = _POOL_TABLES if kind == "tables" else 1
        getattr(ffi, f"wasmtime_pooling_allocation_config_total_{kind}_set")(pool, _POOL_SLOTS * per_instance)
    ffi.wasmtime_pooling_allocation_config_max_tables_per_module_set(pool, _POOL_TABLES)
    ffi.wasmtime_pooling_allocation_config_table_elements_set(pool, _POOL_TABLE_ELEMENTS)
    ffi.wasmtime_pooling_allocation_config_max_memory_size_set(pool, _POOL_MEMORY_BYTES)
    ffi.wasmtime_pooling_allocation_config_linear_memory_keep_resident_set(pool, keep_bytes)
    ffi.wasmtime_pooling_allocation_config_table_keep_resident_set(pool, 1 << 16)
    ffi.wasmtime_pooling_allocation_strategy_set(config.ptr(), pool)
    ffi.wasmtime_pooling_allocation_config_delete(pool)


class Engines:
    """The engines of one runner, each made when it is first needed."""

    def __init__(self) -> None:
        self._made: dict[tuple[bool, bool, bool], wasmtime.Engine] = {}

    def get(self, *, metered: bool, pooled: bool, large: bool) -> wasmtime.Engine:
        """The engine for modules precompiled with the same `metered`."""
        key = (metered, pooled, pooled and large)
        if key not in self._made:
            self._made[key] = make_engine(metered=metered, pooled=pooled, large=key[2])
        return self._made[key]
