"""`bench`: a user's own view of their grid: how long one job takes, how many tasks and calls there are in a second."""

from __future__ import annotations

import click
import msgspec
from msgspec.structs import replace

from wasmgrid.cli import histogram, options
from wasmgrid.cli.connecting import client_or_start
from wasmgrid.cli.measuring import Latency, Throughput, measuring
from wasmgrid.cli.terminal import Progress, one_line, print_json
from wasmgrid.core.resources import Resources
from wasmgrid.core.units import format_bytes
from wasmgrid.sdk.calls import version
from wasmgrid.sdk.client import Client
from wasmgrid.sdk.meter import pace


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What `--json` prints. Milliseconds, and tasks or calls a second."""

    server: str
    version: str
    workers: int
    cpus: float
    memory_mb: int
    single: Latency | None = None
    array: Throughput | None = None
    calls: Throughput | None = None


@click.command()
@click.option(
    "--jobs", type=click.IntRange(0, 100_000), default=200, show_default=True, help="Jobs one by one; 0: none."
)
@click.option(
    "--tasks", type=click.IntRange(0, 1_000_000), default=10_000, show_default=True, help="Tasks of an array."
)
@click.option("--calls", type=click.IntRange(0, 10_000_000), default=100_000, show_default=True, help="Of a function.")
@click.option("--time", "time_s", type=options.Duration(), default="60s", show_default=True, help="For all, at most.")
@options.as_json
@options.server
def bench(jobs: int, tasks: int, calls: int, time_s: float, as_json: bool, server: str | None) -> int:
    """Measure this grid as its users see it, with a module of a hundred bytes that does nothing.

    Jobs one after the other, from the submission to the result; then an array of tasks, each in a fresh sandbox; then
    calls of a function in warm instances. All of it is durable, as everything is. What was submitted is removed.
    """
    connection = client_or_start(server)
    figures = _describe(connection)
    progress = Progress()
    each_s = time_s / max(sum(1 for count in (jobs, tasks, calls) if count), 1)

    def done(number: int) -> None:
        progress.say(f"{what}: {number:,} done")

    with measuring(connection) as grid:
        try:
            if jobs:
                what = "jobs, one by one"
                figures = replace(figures, single=grid.single(jobs, each_s, done))
            if tasks:
                what = "tasks of an array"
                figures = replace(figures, array=grid.array(tasks, each_s, function=None, done=done))
            if calls:
                what = "calls of a function"
                figures = replace(figures, calls=grid.array(calls, each_s, function="add", done=done))
        finally:
            progress.clear()
    if as_json:
        return print_json(msgspec.json.encode(figures))
    click.echo(text(figures), nl=False)
    return 0


def text(figures: Figures) -> str:
    """The figures for a person."""
    workers = "1 worker" if figures.workers == 1 else f"{figures.workers} workers"
    memory = format_bytes(figures.memory_mb << 20)
    lines = [f"grid    {figures.server} · version {figures.version} · {workers}, {figures.cpus:g} cpus, {memory}"]
    if figures.single is not None:
        single = figures.single
        lines.append(
            f"single  p50 {single.p50_ms:.2f} ms · p90 {single.p90_ms:.2f} ms · p99 {single.p99_ms:.2f} ms · "
            f"{single.jobs} jobs one by one, from submission to result"
        )
        lines += histogram.rows(single.ms)
    for name, of, measured in (("array", "tasks", figures.array), ("calls", "calls", figures.calls)):
        if measured is not None:
            lines.append(
                f"{name:<7} {pace(measured.per_second)} {of}/s · {measured.tasks:,} {of} in {measured.seconds:.2f} s"
            )
    return "".join(one_line(line) + "\n" for line in lines)


def _describe(connection: Client) -> Figures:
    workers = [each for each in connection.workers() if not each.builds_only]
    total = sum((each.capacity for each in workers), Resources())
    return Figures(
        server=connection.url,
        version=connection.send(version()).version,
        workers=len(workers),
        cpus=total.milli_cpus / 1000,
        memory_mb=total.memory_mb,
    )
