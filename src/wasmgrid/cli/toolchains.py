"""`toolchain`: what compiles on this machine, installed where all grids of a user share it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import click
import msgspec

from wasmgrid.build import hello, toolchains
from wasmgrid.build.builder import Builder
from wasmgrid.build.provision import default_directory
from wasmgrid.build.toolchains.language import Language
from wasmgrid.cli import options, tables
from wasmgrid.cli.jobs import print_json
from wasmgrid.cli.terminal import one_line, say
from wasmgrid.core.digest import pack_files, sha256_hex
from wasmgrid.core.job import SourceRef
from wasmgrid.core.resources import Resources
from wasmgrid.core.units import format_ms
from wasmgrid.core.wire import BuildWork
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
    with _builder() as builder:
        missing = [each for each in wanted if builder.provision.ready(each) is None]
        for each in missing:
            say(f"installing {each.name}: {tables.installation(builder.provision.toolchain(each))}")
        with _Bar() as bar:
            failed = asyncio.run(builder.install([each.name for each in missing], bar.show)) if missing else {}
        for language in wanted:
            error = failed.get(language.name)
            say(f"{language.name}: {error or _ready(builder, language)}")
    return WASMGRID_FAILED if failed else 0


@toolchain.command()
@click.argument("languages", nargs=-1, metavar="[LANGUAGE...]")
def check(languages: tuple[str, ...]) -> int:
    """Compile each language's hello in the sandbox and run it; all that are installed, where none is named."""
    with _builder() as builder:
        wanted = _named(languages)
        if not languages:
            wanted = [each for each in wanted if builder.provision.ready(each) is not None]
        verdicts = asyncio.run(_check_all(builder, wanted))
    for language, (problem, build_ms) in zip(wanted, verdicts, strict=True):
        click.echo(one_line(f"{'fail' if problem else 'ok':<4}  {language.name:<6}  {problem or format_ms(build_ms)}"))
    return WASMGRID_FAILED if any(problem for problem, _ in verdicts) else 0


def local() -> list[Toolchain]:
    """What this machine has, or could install; ready .wasm needs nothing."""
    with _builder() as builder:
        return [each for each in builder.toolchains() if each.language != "wasm"]


def _named(names: tuple[str, ...]) -> list[Language]:
    if names:
        return [toolchains.named(name) for name in names]
    return [each for each in toolchains.LANGUAGES.values() if each.name != "wasm"]


@contextlib.contextmanager
def _builder() -> Iterator[Builder]:
    with tempfile.TemporaryDirectory(prefix="wasmgrid-toolchain-") as work:
        yield Builder(default_directory(), Path(work))


def _ready(builder: Builder, language: Language) -> str:
    return f"ready ({builder.provision.toolchain(language).version})"


async def _check_all(builder: Builder, languages: list[Language]) -> list[tuple[str, float]]:
    """Per language: what is wrong (nothing: empty), and how long its compiler took, in milliseconds."""
    return [await _check(builder, each) for each in languages]


async def _check(builder: Builder, language: Language) -> tuple[str, float]:
    source = pack_files({path: text.encode() for path, text in language.hello.items()})
    work = BuildWork(
        build_id=0,
        build_key="",
        source=SourceRef(sha256=sha256_hex(source), language=language.name, entry=next(iter(language.hello))),
        toolchain="",
        need=Resources(),
        install=False,
    )
    built = await builder.build(work, source)
    if built.module is None:
        return f"{built.outcome.message or built.outcome.kind} {built.diagnostics[:500]}".strip(), built.build_ms
    if not await hello.prints(built.module, language.hello_stdout):
        return "its hello was compiled, but does not print hello", built.build_ms
    return "", built.build_ms


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
