"""Starting and stopping what answers the API and schedules: up, down, server."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from wasmgrid.cli import options
from wasmgrid.cli.terminal import print_json, say, waiting
from wasmgrid.cli.working import NATS_VARIABLE, capacity_flags
from wasmgrid.core.errors import WasmgridError
from wasmgrid.home import Home

STORE_VARIABLE = "WASMGRID_STORE"


def _server_flags(command: Any) -> Any:
    flags = [
        click.option("--port", type=click.IntRange(0, 65535), help="The API's port [default: 3030, or a free one]."),
        click.option("--host", default="127.0.0.1", show_default=True, help="A loopback address, without TLS."),
        click.option(
            "--listen", metavar="ADDR",
            help="Serve other machines too, API and fabric with TLS: an address of this one, 0.0.0.0 for all.",
        ),
        click.option("--advertise", metavar="HOST", help="The name or address under which others find it."),
        click.option("--fabric-port", type=click.IntRange(0, 65535), help="Where workers connect [default: any]."),
        click.option(
            "--store", "store_url", metavar="URL", envvar=STORE_VARIABLE, show_envvar=True,
            help="PostgreSQL instead of this home's SQLite, for several servers; a password goes into the variable.",
        ),
        click.option(
            "--nats", "nats_url", metavar="URL", envvar=NATS_VARIABLE, show_envvar=True,
            help="An existing NATS instead of one of our own; a password goes into the variable.",
        ),
        click.option(
            "--nats-credential", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
            help="This server's credential there: wasmgrid credential server NAME.",
        ),
        click.option(
            "--lease", "lease_s", type=options.Duration(), help="When a silent worker loses its tasks [default: 10s]."
        ),
        click.option(
            "--policy", type=click.Choice(["best_fit", "spread"]),
            help="Of workers that fit, the fullest [default: best_fit], or the emptiest.",
        ),
        click.option("--idle-exit", "idle_exit_s", type=options.Duration(), help="Stop after so long without work."),
        click.option("-v", "--verbose", is_flag=True, help="The whole log on stderr."),
        click.option(
            "--log-format", type=click.Choice(["text", "json"]), default="text",
            help="How a line of the log is written [default: text].",
        ),
    ]  # fmt: skip
    for flag in reversed(flags):
        command = flag(command)
    return command


@click.command()
@click.option("-d", "--detach", is_flag=True, help="Return when it is ready; it goes on by itself.")
@_server_flags
@capacity_flags
@options.as_json
def up(detach: bool, as_json: bool, **given: Any) -> int:
    """Start a grid on this machine: API, fabric and one worker, until Ctrl-C or `wasmgrid down`.

    \b
        wasmgrid up
        wasmgrid up --listen 0.0.0.0 --advertise grid.example     for others, too
    """
    _check_gpus(given["gpu_count"], given["gpus"])
    if detach:
        return _detach(given, as_json=as_json)
    worker = _arguments({key: given.pop(key) for key in _WORKER_KEYS})
    return _serve(given | {"worker_arguments": tuple(worker)})


@click.command()
@_server_flags
def server(**given: Any) -> int:
    """Start a server without a worker; workers join it: wasmgrid join-command.

    Several, over one --store and one --nats, are one grid: one leads, all answer.
    """
    return _serve(given | {"with_worker": False})


@click.command()
def down() -> int:
    """Stop the grid on this machine and wait until it has. Unfinished jobs go on after the next `up`."""
    from wasmgrid.cli.stopping import stop  # noqa: PLC0415 -- psutil

    home = Home.default()
    with waiting("stopping: what runs is given back"):
        pid = stop(home)
    say(f"nothing runs in {home.path}" if pid is None else f"stopped: pid {pid} in {home.path}")
    return 0


def _check_gpus(count: int | None, stated: tuple[str, ...]) -> None:
    """Raise `InvalidField` where the worker could not offer these; it would fail again and again, out of sight."""
    if count is None and not stated:
        return
    from wasmgrid.worker.gpus import found, offered, simulated  # noqa: PLC0415 -- most grids name none

    offered(found(), simulated(stated), count)


_WORKER_KEYS = ("cpus", "memory_mb", "disk_mb", "gpu_count", "gpus", "slots", "labels")
_SECRET = {"nats_url": NATS_VARIABLE, "store_url": STORE_VARIABLE}  # may hold a password: never an argument
_FLAGS = {"gpu_count": "--gpus", "gpus": "--gpu", "labels": "--label"}


def _serve(given: dict[str, Any]) -> int:
    from wasmgrid.server.options import ServeOptions  # noqa: PLC0415 -- the server's imports cost a second
    from wasmgrid.server.process import run  # noqa: PLC0415

    stated = {key: value for key, value in given.items() if value is not None}
    return run(ServeOptions(home=Home.default(), **stated))


def _detach(given: dict[str, Any], *, as_json: bool) -> int:
    from wasmgrid.cli.starting import log_file, start_detached  # noqa: PLC0415 -- only --detach waits for a process

    secret = {name: value for key, name in _SECRET.items() if (value := given.pop(key)) is not None}
    with waiting("starting"):
        endpoint = start_detached(_arguments(given), environment=secret)
    home, log = Home.default().path, log_file()
    if as_json:
        shown = {"url": endpoint.url, "pid": endpoint.pid, "home": str(home), "log": str(log)}
        return print_json(msgspec.json.encode(shown))
    say(f"grid ready at {endpoint.url} · pid {endpoint.pid} · home {home} · log {log} · stop: wasmgrid down")
    if given["listen"] is not None:
        say("other machines join it with the line that is printed by: wasmgrid join-command")
    _say_dashboard()
    return 0


def _say_dashboard() -> None:
    """A link that signs a browser in, where somebody looks on."""
    from wasmgrid.cli.dashboard import link_of  # noqa: PLC0415 -- only --detach asks a server
    from wasmgrid.sdk.client import Client  # noqa: PLC0415
    from wasmgrid.server.dashboard.announcing import is_watched  # noqa: PLC0415

    if not is_watched(sys.stderr):
        return
    with contextlib.suppress(WasmgridError), Client() as connection:
        say(f"dashboard: {link_of(connection)} · signs one browser in; another: wasmgrid dashboard")


def _arguments(given: dict[str, Any]) -> list[str]:
    """Parsed flags as a command line again; what was not given is left out."""
    found: list[str] = []
    for key, value in given.items():
        flag = _FLAGS.get(key, "--" + key.removesuffix("_s").replace("_", "-"))
        if isinstance(value, tuple):
            found += [word for each in value for word in (flag, "=".join(each) if isinstance(each, tuple) else each)]
        elif value is True:
            found.append(flag)
        elif value is not None and value is not False:
            found += [flag, _word(key, value)]
    return found


def _word(key: str, value: Any) -> str:
    if isinstance(value, Path):
        return str(value.absolute())  # a detached process works elsewhere
    return f"{value:g}s" if key.endswith("_s") else str(value)
