"""What gives a grid capacity: worker, builder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from wasmgrid.cli import options
from wasmgrid.cli.terminal import say
from wasmgrid.home import Home

NATS_VARIABLE = "WASMGRID_NATS"
STDIN = "-"

_CAPACITY = [
    click.option("--cpus", type=float, help="Cpus to offer [default: all]."),
    click.option("--memory-mb", type=int, help="Memory to offer [default: most]."),
    click.option("--disk-mb", type=int, help="Scratch space to offer."),
    click.option("--slots", type=int, help="Tasks at once [default: twice the cpus]."),
    click.option("--label", "labels", type=options.Pair(), multiple=True, help="What jobs may --require."),
    click.option("--unsandboxed-builds", is_flag=True, help="Compile WITHOUT a sandbox: for your own code only."),
]
_GPUS = [
    click.option("--gpus", "gpu_count", type=int, help="GPUs to offer, of those that are there [default: all]."),
    click.option(
        "--gpu", "gpus", multiple=True, metavar="MODEL[:MEMORY_MB]", help="Offer a simulated GPU, to try things out."
    ),
]
_JOINING = [
    click.option("--id", "worker_id", metavar="NAME", help="Its name [default: the credential's, or w1, w2, ...]."),
    click.option(
        "--join", "--nats", "join", metavar="URL", envvar=NATS_VARIABLE, show_envvar=True,
        help="The grid's NATS [default: the credential's, or that of this home]; a password goes into the variable.",
    ),
    click.option(
        "--credential", metavar="FILE|-", help="Who it is on the grid: wasmgrid join-command. - reads standard input."
    ),
    click.option("--until", "until_s", type=options.Duration(), help="Leave in time to have ended after so long."),
    click.option(
        "--drain-timeout", "drain_s", type=options.Duration(),
        help="After a signal, how long what runs may go on [default: 20s]; then it is given back.",
    ),
    click.option("-v", "--verbose", is_flag=True, help="The whole log on stderr."),
    click.option(
        "--log-format", type=click.Choice(["text", "json"]), default="text",
        help="How a line of the log is written [default: text].",
    ),
]  # fmt: skip


def _apply(flags: Sequence[Callable[[Any], Any]], command: Any) -> Any:
    for flag in reversed(flags):
        command = flag(command)
    return command


def capacity_flags(command: Any) -> Any:
    """What a worker offers."""
    return _apply([*_CAPACITY[:3], *_GPUS, *_CAPACITY[3:]], command)


@click.command()
@lambda command: _apply([*_JOINING[:3], *_CAPACITY[:3], *_GPUS, *_CAPACITY[3:], *_JOINING[3:]], command)
@click.option("--builds-only", is_flag=True, help="Only compile: wasmgrid builder.")
def worker(**given: Any) -> int:
    """Start a worker that joins a grid, until Ctrl-C or `wasmgrid drain`; what it holds by then is finished first.

    Without --join and --credential it joins the grid of this machine. Any number may run side by side.

    \b
        wasmgrid worker --cpus 2
        wasmgrid worker --credential pool1.json --label room=cellar --until 2h
    """
    return _run(given)


@click.command()
@lambda command: _apply([*_JOINING[:3], *_CAPACITY, *_JOINING[3:]], command)
def builder(**given: Any) -> int:
    """Start a worker that only compiles, so that builds and programs do not wait for each other."""
    return _run(given | {"builds_only": True})


def _run(given: dict[str, Any]) -> int:
    from wasmgrid.worker.gpus import simulated  # noqa: PLC0415 -- the worker's imports cost a second
    from wasmgrid.worker.options import WorkerOptions  # noqa: PLC0415
    from wasmgrid.worker.process import run  # noqa: PLC0415

    credential = given.pop("credential")
    stated = {key: value for key, value in given.items() if value is not None and key not in {"labels", "gpus"}}
    return run(
        WorkerOptions(
            home=Home.default(),
            credential=credential if credential in {None, STDIN} else Path(credential),
            labels=dict(given["labels"]),
            gpus=simulated(given.get("gpus", ())),
            tell=say,
            **stated,
        )
    )
