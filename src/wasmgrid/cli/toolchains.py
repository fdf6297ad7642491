"""`toolchain`: what compiles on this machine, installed where all grids of a user share it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

import click
import msgspec

from wasmgrid.build import doctor, toolchains
from wasmgrid.build.builder import Builder
from wasmgrid.build.provision import default_directory
from wasmgrid.build.toolchains.language import Language
from wasmgrid.cli import options, tables
from wasmgrid.cli.terminal import one_line, print_json, print_table, say, waiting
from wasmgrid.core.units import format_ms
from wasmgrid.sdk.views import WASMGRID_FAILED

_PLAIN_EVERY_S = 5.0


@click.group()
def toolchain() -> None:
    """List, install and check the toolchains on this machine; a first use installs what is missing, too."""


@toolchain.command("list")
@options.output
def list_(output: str) -> int:
    """List the languages: which are ready, and what installing the others would take."""
    found = local()
    if output == options.JSON:
        return print_json(msgspec.json.encode({"toolchains": found}))
    print_table(tables.toolchains(found, wide=output == options.WIDE))
    return 0


@toolchain.command()
@click.argument("languages", nargs=-1, type=options.Language(), metavar="[LANGUAGE...]")
def install(languages: tuple[str, ...]) -> int:
    """Install toolchains (all, where none is named). An interrupted installation goes on where it was."""
    wanted = _named(languages)
    with _builder() as builder:
        missing = [each for each in wanted if builder.provision.ready(each) is None]
        for each in missing:
            cost = builder.provision.toolchain(each)
            say(f"installing {each.name}: {tables.installation(cost.download_mb, cost.install_s)}")
        with _Bar() as bar:
            failed = asyncio.run(builder.install([each.name for each in missing], bar.show)) if missing else {}
        for language in wanted:
            error = failed.get(language.name)
            say(f"{language.name}: {error or _ready(builder, language)}")
    return WASMGRID_FAILED if failed else 0


@toolchain.command()
@click.argument("languages", nargs=-1, type=options.Language(), metavar="[LANGUAGE...]")
def check(languages: tuple[str, ...]) -> int:
    """Compile each language's hello in the sandbox and run it; all that are installed, where none is named."""
    with _builder() as builder:
        wanted = languages or [each.language for each in doctor.toolchains(builder) if each.state != "missing"]
        checked = asyncio.run(_check_all(builder, wanted))
    for each in checked:
        said = each.detail or format_ms(each.build_ms)
        click.echo(one_line(f"{'ok' if each.ok else 'fail':<4}  {each.language:<6}  {said}"))
    return 0 if all(each.ok for each in checked) else WASMGRID_FAILED


def local() -> list[doctor.ToolchainStatus]:
    """What this machine has, or could install."""
    with _builder() as builder:
        return doctor.toolchains(builder)


async def _check_all(builder: Builder, languages: Iterable[str]) -> list[doctor.Checked]:
    found = []
    for each in languages:
        with waiting(f"checking {each}"):
            found.append(await doctor.check(builder, each))
    return found


def _named(names: tuple[str, ...]) -> list[Language]:
    if names:
        return [toolchains.named(name) for name in names]
    return [each for each in toolchains.LANGUAGES.values() if each.components]


@contextlib.contextmanager
def _builder() -> Iterator[Builder]:
    with tempfile.TemporaryDirectory(prefix="wasmgrid-toolchain-") as work:
        yield Builder(default_directory(), Path(work))


def _ready(builder: Builder, language: Language) -> str:
    return f"ready ({builder.provision.toolchain(language).version})"


class _Bar:
    """How far an installation is: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._told_at = 0.0
        self._told = ""

    def __enter__(self) -> Self:
        if self._terminal:
            from rich.console import Console  # noqa: PLC0415 -- only what draws pays for it
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

            self._progress = Progress(
                BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}", markup=False),
                console=Console(stderr=True), transient=True,
            )  # fmt: skip
            self._task = self._progress.add_task("", total=None)
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._terminal:
            self._progress.stop()

    def show(self, text: str, done: int, total: int) -> None:
        """`text` happens now; `done` of `total` is done."""
        if self._terminal:
            self._progress.update(self._task, description=one_line(text), completed=done, total=max(total, 1))
            return
        now = time.monotonic()
        if text != self._told and now - self._told_at >= _PLAIN_EVERY_S:
            self._told, self._told_at = text, now
            say(f"  {text} ({done}/{total})")
