"""What examples/README.md shows is what happens: its commands are typed at a real grid, their stdout compared."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from tests.e2e.grid import WASMGRID, Grid

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
SUFFIXES = {".rs": "rust", ".c": "c", ".cpp": "cpp", ".go": "go", ".zig": "zig", ".wat": "wat", "": "rust"}
EXIT_CODES = {"broken.rs": 126}


def shown() -> dict[str, str]:
    """Command -> the stdout that the page shows below it."""
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^    \$ wasmgrid (.+)\n((?:    .*\n)*)", page, re.MULTILINE)
    return {command: re.sub(r"^    ", "", output, flags=re.MULTILINE) for command, output in blocks}


def typed(grid: Grid, *words: str) -> subprocess.CompletedProcess[str]:
    """A command, typed at the root of the checkout."""
    argv = [WASMGRID, *words]
    return subprocess.run(
        argv, env=grid.environment, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False
    )


@pytest.mark.parametrize("command", shown())
def test_an_example_does_what_its_page_shows(grid: Grid, command: str) -> None:
    words = shlex.split(command)
    program = Path(words[1])
    toolchains = json.loads(grid.text("toolchain", "list", "--json"))["toolchains"]
    language = SUFFIXES[program.suffix]
    if any(each["language"] == language and each["state"] not in {"ready", "builtin"} for each in toolchains):
        pytest.skip(f"no toolchain for {language} on this machine: wasmgrid toolchain install {language}")
    done = typed(grid, *words)
    assert (done.stdout, done.returncode) == (shown()[command], EXIT_CODES.get(program.name, 0)), done.stderr
    if program.name in EXIT_CODES:
        assert "expected `u32`, found `&str`" in done.stderr


def test_every_example_is_on_the_page() -> None:
    commands = " ".join(shown())
    assert all(f"examples/{path.name}" in commands for path in EXAMPLES.iterdir() if path.name != "README.md")
