"""Stage 1, the client's half: every API call described once, and a sync and an async client that send them.

What programs use is named by `wasmgrid` itself (`import wasmgrid`); below it, for whoever makes requests of their own:

    with Client() as grid:
        hello = prepare.job("hello.rs", name="sleep", cpus=1, memory_mb=1000)
        job = grid.wait(grid.submit_spec(hello.spec, hello.blobs).id)
        print(job.result.stdout)

Imports `core` and `home` only. Light: the standard library and msgspec; httpx is loaded by `AsyncClient` alone. What
this package names is loaded when it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wasmgrid.sdk import calls, prepare
    from wasmgrid.sdk.async_client import AsyncClient
    from wasmgrid.sdk.client import Client

__all__ = ["AsyncClient", "Client", "calls", "prepare"]

_CLASSES = {"AsyncClient": "wasmgrid.sdk.async_client", "Client": "wasmgrid.sdk.client"}


def __getattr__(name: str) -> Any:
    if name in _CLASSES:
        return getattr(import_module(_CLASSES[name]), name)
    if name in __all__:
        return import_module(f"wasmgrid.sdk.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
