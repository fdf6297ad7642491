"""What `doctor` looks at: this machine, the home, the tools, and what runs. Each says what it found and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from wasmgrid.cli.checks import homes, machine, reach, tools
from wasmgrid.cli.checks.check import Check, fail
from wasmgrid.core.errors import WasmgridError

_CHECKS: dict[str, Callable[[str], Iterator[Check]]] = {
    "python": machine.python,
    "limits": machine.limits,
    "clock": machine.clock,
    "home": homes.home,
    "disk": machine.disk,
    "lock": homes.lock,
    "secrets": homes.secrets,
    "store": homes.store,
    "tls": homes.tls,
    "kernel": machine.kernel,
    "sandbox": tools.sandbox,
    "runner": tools.runner,
    "toolchain": tools.toolchains,
    "fabric": tools.nats_server,
    "nats": reach.nats,
}


def everything(server: str | None = None) -> Iterator[Check]:
    """All checks, each as it is done; the last are of `server`, or of the configured ones."""
    for name, check in _CHECKS.items():
        yield from _told(name, check(name))
    yield from _told("server", reach.servers("server", server))


def _told(name: str, checks: Iterator[Check]) -> Iterator[Check]:
    """`checks`, the last of them a failure where one is raised."""
    try:
        yield from checks
    except WasmgridError as error:
        yield fail(name, error.message, error.hint or "see the log: wasmgrid up -v")
    except OSError as error:
        yield fail(name, f"it could not be looked at: {error}", "look at the permissions of what it names")
