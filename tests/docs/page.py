"""Runs the blocks of a page, in order, as a reader would type them; what does not come out as shown is collected."""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import re
import shutil
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import psutil
import yaml
from tests.docs.blocks import Block, blocks, typed
from tests.docs.likeness import Ids, alike, plain
from tests.docs.shell import Shell, bash, python
from tests.e2e.grid import WASMGRID, Grid

ROOT = Path(__file__).parents[2]
COMMAND_S = 120.0
MOST_LINES = 60  # of a difference
PRINTS_AN_ID = re.compile(r"wasmgrid (?:submit|rerun)\b")
SHOWN_ONLY = {"text", ""}  # pictures and output: nothing that could be run


class Page:
    """One page at one grid, in a directory of its own that holds examples/."""

    def __init__(self, path: Path, grid: Grid, *, own: bool) -> None:
        self.failures: list[str] = []
        self.not_run: list[str] = []
        self._path, self._grid, self._ids = path, grid, Ids()
        self._directory = grid.directory
        self._environment = environment(grid, own=own)
        self._shell = bash(self._directory, self._environment)
        self._python: Shell | None = None
        self._last = ""  # what the block before printed

    def run(self) -> None:
        """All of it."""
        for block in blocks(self._path):
            if reason := block.notes.get("not run"):
                self.not_run.append(f"{block.place}: {reason}")
                continue
            try:
                self._run(block)
            except Exception as error:  # noqa: BLE001 -- any failure of a block is the page's, and others follow
                self.failures.append(f"{block.place}: {error}")

    def close(self) -> None:
        """End what it started."""
        self._shell.close()
        if self._python is not None:
            self._python.close()

    def _run(self, block: Block) -> None:
        if block.title:
            target = self._directory / block.title
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text, encoding="utf-8")
        match block.language:
            case "console":
                self._type(block)
            case "sh" | "bash":
                self._last = self._succeed(block, self._shell, self._here(block.text))
            case "python" | "pycon":
                self._interpret(block)
            case "json":
                json.loads(block.text)
            case "toml":
                tomllib.loads(block.text)
            case "yaml":
                yaml.safe_load(block.text)
            case "text" if block.follows:
                self._compare(block.place, "the block before", block.text, self._last)
            case language if language not in SHOWN_ONLY and not block.title:
                raise AssertionError(f'a block of {language} is run by nobody: give it title="FILE", or say not run')

    def _type(self, block: Block) -> None:
        commands = typed(block)
        for each in commands:
            place = f"{self._path.name}:{each.line}"
            stays = block.notes.get("stays") if each is commands[-1] else None
            shown = "\n".join(each.shown)
            command = self._here(each.command)
            if stays is not None:
                came = self._stay(command, stays)
            elif self._is_a_new_file(each.command):
                (self._directory / each.command.removeprefix("cat ")).write_text(shown + "\n", encoding="utf-8")
                continue
            else:
                came, code = self._shell.run(command, COMMAND_S)
                came = self._tidy(came) + (f"\n(exit code {code})" if code else "")
            self._ids.learn(shown, came)
            self._last = came
            if "differs" in block.notes:
                shown, came = _exit_code(shown), _exit_code(came)
            if PRINTS_AN_ID.search(each.command):
                shown, came = (re.sub(r"(?m)^\d+$", "ID", said) for said in (shown, came))
            self._compare(place, each.command, shown, came)

    def _is_a_new_file(self, command: str) -> bool:
        """`cat FILE` of what is not there yet is how a page shows a file: it is made so."""
        name = command.removeprefix("cat ")
        return name != command and not set(name) & set(" |<>$*~") and not (self._directory / name).exists()

    def _stay(self, command: str, text: str) -> str:
        """Start what does not end by itself, until it says `text`."""
        log = self._directory / f".stays-{time.monotonic_ns()}"
        log.touch()  # a shell may take its time to get to the redirection
        self._shell.run(f"( {command} ) >>{log} 2>&1 &", COMMAND_S)
        ends_at = time.monotonic() + COMMAND_S
        while text not in (said := log.read_text(encoding="utf-8")):
            assert time.monotonic() < ends_at, f"{command} did not say {text!r}: {said}"
            time.sleep(0.02)
        return self._tidy(said)

    def _interpret(self, block: Block) -> None:
        if self._python is None:
            self._python = python(self._directory, self._environment)
        if ">>> " not in block.text:
            self._last = self._succeed(block, self._python, self._here(block.text))
            return
        for line, code, shown in interactive(block):
            came, _ = self._python.run("# interactive\n" + self._here(code), COMMAND_S)
            self._compare(f"{self._path.name}:{line}", code, shown, self._tidy(came))

    def _succeed(self, block: Block, shell: Shell, text: str) -> str:
        came, code = shell.run(text, COMMAND_S)
        if code:
            self.failures.append(f"{block.place}: ended with {code}\n{came[-2000:]}")
        return self._tidy(came)

    def _here(self, text: str) -> str:
        """What a reader would type here: the numbers that jobs have, and where this grid listens."""
        return self._ids.here(text).replace("127.0.0.1:3030", self._grid.url.partition("://")[2] or "127.0.0.1:3030")

    def _tidy(self, text: str) -> str:
        text = text.replace(str(self._grid.home), "~/.local/share/wasmgrid").replace(f"{self._directory}/", "")
        return text.replace(str(self._directory), ".").rstrip("\n")

    def _compare(self, place: str, command: str, shown: str, came: str) -> None:
        if not alike(shown, came):
            lines = difflib.unified_diff(plain(shown), plain(came), "shown", "came", lineterm="", n=9)
            self.failures.append(f"{place}: $ {command}\n" + "\n".join(list(lines)[:MOST_LINES]))


def _exit_code(said: str) -> str:
    return "".join(line for line in said.splitlines() if line.startswith("(exit code "))


def interactive(block: Block) -> Iterator[tuple[int, str, str]]:
    """Line, statement and what it prints, of a block with `>>> `."""
    code, shown, begun = list[str](), list[str](), block.line
    for number, line in enumerate([*block.text.splitlines(), ">>> "], start=block.line + 1):
        if line.startswith(">>> ") or line == ">>>":
            if code:
                yield begun, "\n".join(code) + "\n", "\n".join(shown)
            code, shown, begun = [line[4:]], [], number
        elif line.startswith("... ") or line == "...":
            code.append(line[4:])
        else:
            shown.append(line)


def environment(grid: Grid, *, own: bool) -> dict[str, str]:
    """What a reader's shell has: wasmgrid in its PATH, and the grid (`own`: nothing but an empty home)."""
    bins = str(Path(WASMGRID).parent)
    ours = {**grid.environment, "PATH": f"{bins}{os.pathsep}{os.environ['PATH']}", "NO_COLOR": "1", "COLUMNS": "200"}
    ours["WASMGRID_TOOLCHAINS"] = os.environ.get("WASMGRID_TOOLCHAINS") or str(
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wasmgrid" / "toolchains"
    )
    if own:
        del ours["WASMGRID_HOME"]
        ours.pop("XDG_DATA_HOME", None)
        ours["HOME"] = str(grid.home.parents[2])
    return ours


@contextlib.contextmanager
def own_grid(directory: Path) -> Iterator[Grid]:
    """A home where nothing runs yet; what a page starts there is stopped behind it."""
    work = directory / "home" / "wasmgrid"
    work.mkdir(parents=True)
    grid = Grid(home=directory / "home" / ".local" / "share" / "wasmgrid", directory=work)
    try:
        yield grid
    finally:
        if grid.home.exists():
            grid.run("down")
        for process in grid.left():
            with contextlib.suppress(psutil.Error):
                process.terminate()
        assert grid.gone(), f"left behind: {grid.left()}"


def furnish(directory: Path) -> None:
    """What a checkout has that pages use."""
    shutil.copytree(ROOT / "examples", directory / "examples", dirs_exist_ok=True)
    for name in ("src", "tests", "scripts", "benchmarks"):
        (directory / name).symlink_to(ROOT / name)
    (directory / ".venv").symlink_to(sys.prefix)
