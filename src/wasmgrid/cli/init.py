"""`init`: a program and a job file to begin with, in any language; they run as they are."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click

from wasmgrid.build import toolchains
from wasmgrid.build.toolchains.language import Language
from wasmgrid.cli import options
from wasmgrid.cli.terminal import say
from wasmgrid.core.errors import InvalidField, InvalidPath

_STARTERS = Path(__file__).with_name("starters")
_FIRST = ("python", "rust")  # what is written where no language is named, the first of these that this version knows
_JOB = "job.toml"


@click.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False), default=".", metavar="[DIR]")
@click.option("--language", type=options.Language(), metavar="NAME", help="What the program is written in.")
def init(directory: Path, language: str | None) -> int:
    """Write a small program and a job.toml into DIR (default: here). Nothing that is there is overwritten.

    \b
        wasmgrid init hello --language rust
        wasmgrid run hello/job.toml
    """
    chosen = _language(language)
    own = f".{chosen.name}"
    program = directory / f"main{own if own in chosen.suffixes else chosen.suffixes[0]}"
    job = directory / _JOB
    for path in (program, job):
        if path.exists() or path.is_symlink():
            raise InvalidPath(f"{path} is there already", hint="name another directory: wasmgrid init DIR")
    typed = shlex.quote(os.path.normpath(job))
    text = (_STARTERS / "job.toml.txt").read_text(encoding="utf-8").format(source=program.name, place=typed)
    _write(program, _starter(chosen).read_text(encoding="utf-8"))
    _write(job, text)
    say(f"{program} and {job} are yours · run it: wasmgrid run {typed} · again on each save: wasmgrid dev {typed}")
    return 0


def _language(name: str | None) -> Language:
    chosen = toolchains.named(name or next(each for each in _FIRST if each in toolchains.LANGUAGES))
    if not _starter(chosen).exists():
        known = ", ".join(sorted(each for each in toolchains.LANGUAGES if _starter(toolchains.named(each)).exists()))
        hint = f"one of {known}" + (" · a ready module: wasmgrid run FILE.wasm" if chosen.name == "wasm" else "")
        raise InvalidField(f"there is no starter in {chosen.name}", hint=hint, field="language")
    return chosen


def _starter(language: Language) -> Path:
    return _STARTERS / f"{language.name}.txt"


def _write(path: Path, text: str) -> None:
    """A new file; one that somebody made at this moment stays theirs."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise InvalidPath(
            f"{path} cannot be written: {error.strerror}", hint="name another: wasmgrid init DIR"
        ) from None
