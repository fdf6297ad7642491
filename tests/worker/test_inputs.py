"""Inputs on their way into a box: what is refused, and how the rest becomes visible. Rows of HOSTILE.md."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from wasmgrid.core.errors import InvalidField, TooLarge, WasmgridError
from wasmgrid.core.job import Input
from wasmgrid.runner.frames import Copy, Mount
from wasmgrid.worker import inputs
from wasmgrid.worker.inputs import lay_out


def put(path: str, *, tree: bool = False, writable: bool = False) -> Input:
    return Input(path=path, sha256="0" * 64, tree=tree, writable=writable)


@pytest.fixture
def box(tmp_path: Path) -> Path:
    """A box with its directory for inputs."""
    (tmp_path / "box/in").mkdir(parents=True)
    return tmp_path / "box"


@pytest.fixture
def blob(tmp_path: Path) -> Path:
    """A small file."""
    (tmp_path / "blob").write_bytes(b"content")
    return tmp_path / "blob"


def archive(path: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w") as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(bytes(member.size)) if member.isreg() else None)
    return path


def member(name: str, *, kind: bytes = tarfile.REGTYPE, size: int = 0, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, link
    return info


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/x", "a//b", "a/./b", "x\0y", "a\\b", "n\nl"])
def test_hostile_15_names_that_escape(tmp_path: Path, box: Path, name: str) -> None:
    with pytest.raises(InvalidField):
        lay_out(box, [(put("/in", tree=True), archive(tmp_path / "t", member(name.replace("\0", "\x01"))))])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["box", "t"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_hostile_15_links_and_devices(tmp_path: Path, box: Path, kind: bytes) -> None:
    with pytest.raises(InvalidField, match="neither a file nor a directory"):
        lay_out(box, [(put("/in", tree=True), archive(tmp_path / "t", member("x", kind=kind, link="/etc/passwd")))])


def test_hostile_14_archive_bombs(tmp_path: Path, box: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    big = archive(tmp_path / "big", member("x", size=5000))
    with pytest.raises(TooLarge):
        lay_out(box, [(put("/in", tree=True), big)], max_bytes=4000)
    monkeypatch.setattr(inputs, "MAX_ENTRIES", 10)
    many = archive(tmp_path / "many", *[member(f"f{n}") for n in range(11)])
    with pytest.raises(TooLarge):
        lay_out(box, [(put("/in2", tree=True), many)])


@pytest.mark.parametrize("content", [b"no archive", b"", b"\x1f\x8b" + bytes(100)])
def test_what_is_no_archive(tmp_path: Path, box: Path, content: bytes) -> None:
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(WasmgridError, match="not a tar archive"):
        lay_out(box, [(put("/in", tree=True), tmp_path / "t")])


def test_read_only_inputs_are_mounted_and_others_copied(tmp_path: Path, box: Path, blob: Path) -> None:
    tree = archive(tmp_path / "t", member("./", kind=tarfile.DIRTYPE), member("./sub/f", size=3))
    layout = lay_out(
        box,
        [
            (put("/in/a.txt"), blob),
            (put("/in/b.txt"), blob),
            (put("/in/data", tree=True), tree),
            (put("/work", tree=True, writable=True), tree),
            (put("/top.txt"), blob),
        ],
    )
    assert layout.mounts == [Mount("in/0", "/in"), Mount("in/1", "/in/data")]
    assert layout.copies == [Copy("in/2", "/work", True), Copy("in/3", "/", False)]
    assert (box / "in/0/a.txt").read_bytes() == b"content"
    assert (box / "in/0/data").is_dir()  # where the inner mount goes
    assert (box / "in/1/sub/f").stat().st_mode & 0o777 == 0o444


def test_a_read_only_directory_with_something_writable_in_it_is_copied(box: Path, blob: Path) -> None:
    layout = lay_out(box, [(put("/in/ro"), blob), (put("/in/deep/rw", writable=True), blob)])
    assert layout.mounts == []
    assert layout.copies == [Copy("in/0", "/in", False), Copy("in/1", "/in/deep", True)]


@pytest.mark.parametrize("paths", [("/a", "/a"), ("/", "/a"), ("relative", "/b"), ("/a/../b", "/c"), ("//a", "/b")])
def test_paths_that_collide_or_are_none(box: Path, blob: Path, paths: tuple[str, str]) -> None:
    with pytest.raises(InvalidField):
        lay_out(box, [(put(path), blob) for path in paths])


def test_a_file_where_another_input_needs_a_directory(tmp_path: Path, box: Path, blob: Path) -> None:
    tree = archive(tmp_path / "t", member("x/y"))
    with pytest.raises(InvalidField, match="collide"):
        lay_out(box, [(put("/in/x"), blob), (put("/in", tree=True), tree)])
