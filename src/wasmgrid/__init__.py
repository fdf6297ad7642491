"""wasmgrid: a distributed WebAssembly runtime. Source or a .wasm in; output, statistics and the module out.

    import wasmgrid

    with wasmgrid.Client() as client:
        print(client.run("hello.rs", cpus=1, memory_mb=1000).stdout)
        add = client.function("add.rs", "add")
        print(add(2, 3))

What this package names is loaded when it is used; importing it loads nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wasmgrid.core.errors import (
        InvalidField,
        InvalidPath,
        JobNotFound,
        NotFound,
        Unauthorized,
        Unavailable,
        Unreachable,
        Unsatisfiable,
        WasmgridError,
    )
    from wasmgrid.sdk.async_client import AsyncClient
    from wasmgrid.sdk.async_jobs import AsyncJob
    from wasmgrid.sdk.async_mapping import AsyncFunction, AsyncMapped
    from wasmgrid.sdk.client import Client
    from wasmgrid.sdk.executor import Executor
    from wasmgrid.sdk.failures import BuildFailed, ClientClosed, TaskFailed
    from wasmgrid.sdk.functions import Function
    from wasmgrid.sdk.jobs import Job
    from wasmgrid.sdk.mapping import Mapped
    from wasmgrid.sdk.options import JobOptions
    from wasmgrid.sdk.results import AsyncResult, Result

__version__ = "0.1.0"

_ERRORS = (
    *("InvalidField", "InvalidPath", "JobNotFound", "NotFound", "Unauthorized", "Unavailable", "Unreachable"),
    *("Unsatisfiable", "WasmgridError"),
)
_PLACES = {
    **dict.fromkeys(_ERRORS, "core.errors"),
    **dict.fromkeys(("BuildFailed", "ClientClosed", "TaskFailed"), "sdk.failures"),
    **dict.fromkeys(("AsyncResult", "Result"), "sdk.results"),
    **dict.fromkeys(("AsyncFunction", "AsyncMapped"), "sdk.async_mapping"),
    "AsyncClient": "sdk.async_client",
    "AsyncJob": "sdk.async_jobs",
    "Client": "sdk.client",
    "Executor": "sdk.executor",
    "Function": "sdk.functions",
    "Job": "sdk.jobs",
    "JobOptions": "sdk.options",
    "Mapped": "sdk.mapping",
}
__all__ = [
    "AsyncClient",
    "AsyncFunction",
    "AsyncJob",
    "AsyncMapped",
    "AsyncResult",
    "BuildFailed",
    "Client",
    "ClientClosed",
    "Executor",
    "Function",
    "InvalidField",
    "InvalidPath",
    "Job",
    "JobNotFound",
    "JobOptions",
    "Mapped",
    "NotFound",
    "Result",
    "TaskFailed",
    "Unauthorized",
    "Unavailable",
    "Unreachable",
    "Unsatisfiable",
    "WasmgridError",
    "__version__",
]


def __getattr__(name: str) -> Any:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"wasmgrid.{place}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
