"""Starting and stopping what a grid is made of: up, down, server, worker."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from wasmgrid.cli import options
from wasmgrid.cli.jobs import print_json
from wasmgrid.cli.terminal import say
from wasmgrid.home import Home

NATS_VARIABLE = "WASMGRID_NATS"


def _server_flags(command: Any) -> Any:
    flags = [
        click.option("--port", type=click.IntRange(0, 65535), help="The API's port [default: 3030, or a free one]."),
        click.option("--host", default="127.0.0.1", show_default=True, help="An address of this machine."),
        click.option(
            "--nats", "nats_url", metavar="URL", envvar=NATS_VARIABLE, show_envvar=True,
            help="An existing NATS instead of one of our own; a password belongs into the variable.",
        ),
        click.option("--idle-exit", "idle_exit_s", type=options.Duration(), help="Stop after so long without work."),
        click.option("-v", "--verbose", is_flag=True, help="The whole log on stderr."),
    ]  # fmt: skip
    for flag in reversed(flags):
        command = flag(command)
    return command


def _worker_flags(command: Any) -> Any:
    flags = [
        click.option("--cpus", type=float, help="Cpus to offer [default: all]."),
        click.option("--memory-mb", type=int, help="Memory to offer [default: most]."),
        click.option("--disk-mb", type=int, help="Scratch space to offer."),
        click.option("--gpus", type=int, help="Gpus to offer."),
        click.option("--slots", type=int, help="Tasks at once [default: twice the cpus]."),
        click.option("--label", "labels", type=options.Pair(), multiple=True, help="What jobs may --require."),
        click.option("--unsandboxed-builds", is_flag=True, help="Compile WITHOUT a sandbox: for your own code only."),
    ]
    for flag in reversed(flags):
        command = flag(command)
    return command


@click.command()
@click.option("-d", "--detach", is_flag=True, help="Return when it is ready; it goes on by itself.")
@_server_flags
@_worker_flags
@options.as_json
def up(detach: bool, as_json: bool, nats_url: str | None, **given: Any) -> int:
    """Start a grid on this machine: API, fabric and one worker, until Ctrl-C or `wasmgrid down`."""
    if detach:
        return _detach(nats_url, given, as_json=as_json)
    from wasmgrid.server.process import ServeOptions, run  # noqa: PLC0415 -- the server's imports cost a second

    worker = _arguments({key: given.pop(key) for key in _WORKER_KEYS})
    return run(ServeOptions(home=Home.default(), nats_url=nats_url, worker_arguments=tuple(worker), **given))


@click.command()
@_server_flags
def server(**given: Any) -> int:
    """Start a server without a worker; workers join it: wasmgrid worker --join URL."""
    from wasmgrid.server.process import ServeOptions, run  # noqa: PLC0415 -- the server's imports cost a second

    return run(ServeOptions(home=Home.default(), with_worker=False, **given))


@click.command()
@click.option("--id", "worker_id", metavar="NAME", help="Its name [default: w1, or the first that is free].")
@click.option(
    "--join", "--nats", "nats_url", metavar="URL", envvar=NATS_VARIABLE, show_envvar=True,
    help="The grid's NATS [default: that of this home]; a password belongs into the variable.",
)  # fmt: skip
@_worker_flags
@click.option("--builds-only", is_flag=True, help="Only compile.")
@click.option("-v", "--verbose", is_flag=True, help="The whole log on stderr.")
def worker(labels: tuple[tuple[str, str], ...], **given: Any) -> int:
    """Start a worker that joins a grid, until Ctrl-C; what it holds then is given back."""
    from wasmgrid.worker.process import WorkerOptions, run  # noqa: PLC0415 -- the worker's imports cost a second

    return run(WorkerOptions(home=Home.default(), labels=dict(labels), **given))


@click.command()
def down() -> int:
    """Stop the grid on this machine and wait until it has. Unfinished jobs go on after the next `up`."""
    from wasmgrid.cli.stopping import stop  # noqa: PLC0415 -- psutil

    home = Home.default()
    pid = stop(home)
    say(f"nothing runs in {home.path}" if pid is None else f"stopped: pid {pid} in {home.path}")
    return 0


_WORKER_KEYS = ("cpus", "memory_mb", "disk_mb", "gpus", "slots", "labels")


def _detach(nats_url: str | None, given: dict[str, Any], *, as_json: bool) -> int:
    from wasmgrid.cli.starting import log_file, start_detached  # noqa: PLC0415 -- only --detach waits for a process

    environment = {} if nats_url is None else {NATS_VARIABLE: nats_url}
    endpoint = start_detached(_arguments(given), environment=environment)
    home, log = Home.default().path, log_file()
    if as_json:
        shown = {"url": endpoint.url, "pid": endpoint.pid, "home": str(home), "log": str(log)}
        return print_json(msgspec.json.encode(shown))
    say(f"grid ready at {endpoint.url} · pid {endpoint.pid} · home {home} · log {log} · stop: wasmgrid down")
    return 0


def _arguments(given: dict[str, Any]) -> list[str]:
    """Parsed flags as a command line again; what was not given is left out."""
    found: list[str] = []
    for key, value in given.items():
        flag = "--" + key.removesuffix("_s").replace("_", "-")
        if key == "labels":
            found += [word for name, text in value for word in ("--label", f"{name}={text}")]
        elif value is True:
            found.append(flag)
        elif value is not None and value is not False:
            found += [flag, f"{value:g}s" if key.endswith("_s") else f"{value}"]
    return found
