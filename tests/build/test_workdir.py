"""Writing a project and reading its module where whoever compiled it may have planted links."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from wasmgrid.build.workdir import read_module, remove, work_directory, write_files
from wasmgrid.core.errors import InvalidModule

LIMIT = 1000


def read(out: Path, pattern: str = "module.wasm") -> bytes:
    return read_module(out, pattern, max_bytes=LIMIT)


def test_a_module_is_read_by_name_or_pattern(tmp_path: Path) -> None:
    (tmp_path / "target" / "release").mkdir(parents=True)
    (tmp_path / "target" / "release" / "demo.wasm").write_bytes(b"abc")
    assert read(tmp_path, "target/release/*.wasm") == b"abc"


def test_hostile_16_a_link_at_the_output_path(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    out = tmp_path / "out"
    out.mkdir()
    (out / "module.wasm").symlink_to(secret)
    with pytest.raises(InvalidModule, match="cannot be read"):
        read(out)


def test_hostile_16_a_link_in_place_of_a_directory(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "release").mkdir(parents=True)
    (elsewhere / "release" / "x.wasm").write_bytes(b"secret")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "target").symlink_to(elsewhere)
    with pytest.raises(InvalidModule, match="cannot be read"):
        read(tmp_path / "out", "target/release/*.wasm")
    (tmp_path / "link").symlink_to(elsewhere)
    with pytest.raises(InvalidModule, match="cannot be read"):
        read(tmp_path / "link", "release/*.wasm")


@pytest.mark.parametrize("kind", ["fifo", "directory", "huge", "none", "several"])
def test_hostile_16_anything_but_one_file_of_a_sane_size(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "module.wasm"
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "directory":
            path.mkdir()
        case "huge":
            path.write_bytes(bytes(LIMIT + 1))
        case "several":
            path.write_bytes(b"a")
            (tmp_path / "other.wasm").write_bytes(b"b")
    with pytest.raises(InvalidModule):
        read(tmp_path, "*.wasm")


def test_a_planted_link_is_never_written_through(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("untouched")
    root = tmp_path / "src"
    root.mkdir()
    (root / "a.c").symlink_to(tmp_path / "target")
    with pytest.raises(FileExistsError):
        write_files(root, {"a.c": b"overwritten"})
    assert (tmp_path / "target").read_text() == "untouched"


def test_whatever_is_left_in_it_a_work_directory_goes_away(tmp_path: Path) -> None:
    async def go() -> None:
        async with work_directory(tmp_path, {"a/b.c": b"x"}) as work:
            assert sorted(path.name for path in work.iterdir()) == ["out", "src", "tmp"]
            assert (work / "src" / "a" / "b.c").read_bytes() == b"x"
            (work / "out" / "link").symlink_to("/etc")
            locked = work / "out" / "locked"
            locked.mkdir()
            (locked / "x").touch()
            locked.chmod(0)

    asyncio.run(go())
    assert list(tmp_path.iterdir()) == []


def test_a_tree_too_deep_for_recursion_goes_away(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    descriptor = os.open(top, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=descriptor)
        below = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(descriptor)
    remove(top)
    assert not top.exists()
