"""`toolchain`: what compiles on this machine, installed where all grids of a user share it."""

from __future__ import annotations

import sys
import time
from typing import Self

import click
import msgspec

from wasmgrid.build import provision
from wasmgrid.build.toolchains import LANGUAGES
from wasmgrid.build.toolchains.language import Language
from wasmgrid.cli import options, tables
from wasmgrid.cli.jobs import print_json
from wasmgrid.cli.terminal import one_line, say
from wasmgrid.core.worker import Toolchain
from wasmgrid.sdk.views import WASMGRID_FAILED

_PLAIN_EVERY_S = 5.0


@click.group()
def toolchain() -> None:
    """List, install and check the toolchains on this machine; a first use installs what is missing, too."""


@toolchain.command("list")
@options.as_json
def list_(as_json: bool) -> int:
    """List the languages: which are ready, and what installing the others would take."""
    found = local()
    if as_json:
        return print_json(msgspec.json.encode({"toolchains": found}))
    click.echo(tables.toolchains(found), nl=False)
    return 0


@toolchain.command()
@click.argument("languages", nargs=-1, metavar="[LANGUAGE...]")
def install(languages: tuple[str, ...]) -> int:
    """Install toolchains (all, where none is named). An interrupted installation goes on where it was."""
    wanted = _named(languages)
    place = provision.Provision(provision.default_directory())
    missing = place.missing(wanted)
    if missing:
        megabytes, seconds = sum(each.download_mb for each in missing), sum(each.install_s for each in missing)
        names = ", ".join(each.name for each in missing)
        say(f"installing {names}: about {megabytes} MB, {max(1, round(seconds / 60))} min, into {place.directory}")
    with _Bar() as bar:
        failed = place.install(wanted, bar.show)
    for language in wanted:
        error = failed.get(language.name)
        say(f"{language.name}: {error}" if error else f"{language.name}: ready")
    return WASMGRID_FAILED if failed else 0


def local() -> list[Toolchain]:
    """What this machine has, or could install; ready .wasm needs nothing."""
    place = provision.Provision(provision.default_directory())
    return [place.toolchain(each) for each in LANGUAGES.values() if each.name != "wasm"]


def _named(names: tuple[str, ...]) -> list[Language]:
    if not names:
        return [each for each in LANGUAGES.values() if each.components]
    return provision.languages_named(names)


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
        """`text` happens now; `done` of `total` is done. Called by several threads, one at a time."""
        if self._terminal:
            self._progress.update(self._task, description=one_line(text), completed=done, total=max(total, 1))
            return
        now = time.monotonic()
        if text != self._told and now - self._told_at >= _PLAIN_EVERY_S:
            self._told, self._told_at = text, now
            say(f"  {text} ({done}/{total})")
