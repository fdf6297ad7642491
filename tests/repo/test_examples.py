"""What examples/README.md shows is what happens: its commands are typed at a real grid, their stdout compared."""

from __future__ import annotations

import json
import re
import shlex
import struct
import subprocess
import zlib
from pathlib import Path

import pytest
from tests.e2e.grid import WASMGRID, Grid

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
SUFFIXES = {".rs": "rust", ".c": "c", ".cpp": "cpp", ".go": "go", ".zig": "zig", ".wat": "wat", "": "rust"}
SUFFIXES |= {".py": "python", ".js": "javascript", ".ts": "typescript", ".toml": "cpp"}
EXIT_CODES = {"broken.rs": 126}


def shown() -> dict[str, str]:
    """Command -> the stdout that the page shows below it."""
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^```console\n\$ wasmgrid (.+)\n((?:.*\n)*?)```$", page, re.MULTILINE))


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


def test_the_picture_of_the_mandelbrot_set_is_a_png(grid: Grid, tmp_path: Path) -> None:
    done = typed(grid, "run", "examples/mandelbrot.rs", "--json")
    if done.returncode:
        assert "toolchain" in done.stderr, done.stderr
        pytest.skip("no toolchain for rust on this machine: wasmgrid toolchain install rust")
    grid.text("artifacts", json.loads(done.stdout)["id"], "-o", tmp_path)
    width, rows = pixels((tmp_path / "mandelbrot.png").read_bytes())
    assert (width, len(rows)) == (720, 480)
    assert rows == rows[::-1], "the set is symmetric"
    assert rows[240][width // 2] == 255  # within it
    assert rows[0][0] < 10  # far away


def pixels(image: bytes) -> tuple[int, list[bytes]]:
    """Width and rows of a PNG with one byte a pixel; every checksum is looked at."""
    assert image.startswith(b"\x89PNG\r\n\x1a\n")
    chunks, at = dict[bytes, bytes](), 8
    while at < len(image):
        (size,) = struct.unpack_from(">I", image, at)
        named = image[at + 4 : at + 8 + size]
        assert struct.unpack_from(">I", image, at + 8 + size) == (zlib.crc32(named),)
        chunks[named[:4]] = named[4:]
        at += size + 12
    (width,) = struct.unpack_from(">I", chunks[b"IHDR"])
    data = zlib.decompress(chunks[b"IDAT"])
    return width, [data[at + 1 : at + 1 + width] for at in range(0, len(data), width + 1)]


def test_every_example_is_on_the_page() -> None:
    commands = " ".join(shown())
    assert all(f"examples/{path.name}" in commands for path in EXAMPLES.iterdir() if path.name != "README.md")


def worth_reading() -> list[str]:
    """The programs of the page's table."""
    return re.findall(r"^\| \[.+?\]\((.+?)\)", (EXAMPLES / "README.md").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("name", worth_reading())
def test_a_program_says_at_its_head_what_it_shows_and_how_it_is_run(name: str) -> None:
    head = "".join((EXAMPLES / name).read_text(encoding="utf-8").splitlines(keepends=True)[:10])
    commands = re.findall(r"^\W+wasmgrid (.+)$", head, re.MULTILINE)
    assert any(command in shown() for command in commands), f"{name} shows {commands}, and the page none of them"
