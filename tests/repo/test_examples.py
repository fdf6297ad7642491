"""What examples/README.md shows is what happens: its commands are typed at a real grid, their stdout compared."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
COMMAND = Path(sys.executable).with_name("wasmgrid")
SUFFIXES = {".rs": "rust", ".c": "c", ".cpp": "cpp", ".go": "go", ".zig": "zig", ".wat": "wat", "": "rust"}
EXIT_CODES = {"broken.rs": 126}

Type = Callable[..., subprocess.CompletedProcess[str]]


def shown() -> dict[str, str]:
    """Command -> the stdout that the page shows below it."""
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^    \$ wasmgrid (.+)\n((?:    .*\n)*)", page, re.MULTILINE)
    return {command: re.sub(r"^    ", "", output, flags=re.MULTILINE) for command, output in blocks}


@pytest.fixture(scope="module")
def wasmgrid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Type]:
    """The installed command, with a grid of its own running."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WASMGRID_S")}
    environment["WASMGRID_HOME"] = str(tmp_path_factory.mktemp("grid") / "home")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        argv = [str(COMMAND), *words]
        return subprocess.run(argv, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)

    started = run("up", "--detach")
    try:
        assert started.returncode == 0, started.stderr
        yield run
    finally:
        run("down")


@pytest.mark.parametrize("command", shown())
def test_an_example_does_what_its_page_shows(wasmgrid: Type, command: str) -> None:
    words = shlex.split(command)
    language = SUFFIXES[Path(words[1]).suffix]
    toolchains = json.loads(wasmgrid("toolchain", "list", "--json").stdout)
    if not any(each["language"] == language and each["ready"] for each in toolchains):
        pytest.skip(f"no toolchain for {language} on this machine: wasmgrid toolchain install {language}")
    done = wasmgrid(*words)
    assert (done.stdout, done.returncode) == (shown()[command], EXIT_CODES.get(Path(words[1]).name, 0)), done.stderr
    if Path(words[1]).name in EXIT_CODES:
        assert "expected `u32`, found `&str`" in done.stderr


def test_every_example_is_on_the_page() -> None:
    commands = " ".join(shown())
    assert all(f"examples/{path.name}" in commands for path in EXAMPLES.iterdir() if path.name != "README.md")
