"""What of a directory is sent, and that links, devices and too much of it are refused before anything is."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from wasmgrid.core.digest import sha256_hex
from wasmgrid.core.errors import InvalidField, InvalidPath, TooLarge
from wasmgrid.core.job import Base64
from wasmgrid.core.limits import Ceiling
from wasmgrid.sdk import packing
from wasmgrid.sdk.packing import content, pack_input, read_source

CEILING = Ceiling()


def put(root: Path, files: dict[str, str]) -> Path:
    """Files under `root`: path -> content."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_one_file_goes_by_its_name(tmp_path: Path) -> None:
    put(tmp_path, {"dir/hello.rs": "fn main() {}"})
    assert read_source(tmp_path / "dir/hello.rs", CEILING) == {"hello.rs": b"fn main() {}"}


def test_a_link_that_was_named_itself_is_followed(tmp_path: Path) -> None:
    put(tmp_path, {"real.c": "int main;"})
    (tmp_path / "link.c").symlink_to("real.c")
    assert read_source(tmp_path / "link.c", CEILING) == {"link.c": b"int main;"}


def test_a_project_without_what_gitignore_names(tmp_path: Path) -> None:
    put(tmp_path, {
        ".gitignore": "*.log\n/build/\n!keep.log\n",
        "main.c": "m", "a.log": "-", "keep.log": "k", "build/x.o": "-",
        "sub/.gitignore": "!a.log\nsecret\n", "sub/a.log": "yes", "sub/secret": "-", "sub/build/deep.c": "d",
        ".git/config": "-", "__pycache__/x.pyc": "-",
    })  # fmt: skip
    found = read_source(tmp_path, CEILING)
    assert sorted(found) == [".gitignore", "keep.log", "main.c", "sub/.gitignore", "sub/a.log", "sub/build/deep.c"]


def test_rules_of_the_repository_above_count(tmp_path: Path) -> None:
    put(tmp_path, {".git/HEAD": "x", ".gitignore": "target/\n/inner/skip.c\n", "inner/main.c": "m"})
    put(tmp_path, {"inner/target/big": "-", "inner/skip.c": "-"})
    assert sorted(read_source(tmp_path / "inner", CEILING)) == ["main.c"]


def test_rules_above_without_a_repository_do_not(tmp_path: Path) -> None:
    put(tmp_path, {".gitignore": "*\n", "inner/main.c": "m"})
    assert sorted(read_source(tmp_path / "inner", CEILING)) == ["main.c"]


def test_a_cache_directory_is_left_out(tmp_path: Path) -> None:
    put(tmp_path, {"Cargo.toml": "", "src/main.rs": "fn main() {}", "target/debug/x": "-"})
    put(tmp_path, {"target/CACHEDIR.TAG": "Signature: 8a477f597d28d172789f06886806bc55\n# by cargo"})
    assert sorted(read_source(tmp_path, CEILING)) == ["Cargo.toml", "src/main.rs"]


@pytest.mark.parametrize("kind", ["symlink", "hard link", "fifo"])
def test_links_and_devices_in_a_project_are_refused(tmp_path: Path, kind: str) -> None:
    put(tmp_path, {"project/main.c": "m", "outside": "secret"})
    odd = tmp_path / "project/odd.c"
    if kind == "symlink":
        odd.symlink_to(tmp_path / "outside")
    elif kind == "hard link":
        odd.hardlink_to(tmp_path / "outside")
    else:
        os.mkfifo(odd)
    with pytest.raises(InvalidPath, match=r"odd\.c.*only plain files") as refused:
        read_source(tmp_path / "project", CEILING)
    assert refused.value.hint
    assert refused.value.field == "source.files"


def test_a_link_that_gitignore_names_does_no_harm(tmp_path: Path) -> None:
    put(tmp_path, {"main.c": "m", ".gitignore": "result\n"})
    (tmp_path / "result").symlink_to("/etc")
    assert "main.c" in read_source(tmp_path, CEILING)


def test_hostile_14_too_many_or_too_large_is_refused_here(tmp_path: Path) -> None:
    put(tmp_path, {f"f{number}.c": "1234567890" for number in range(5)})
    with pytest.raises(TooLarge, match="more than 4 files"):
        read_source(tmp_path, Ceiling(source_files=4))
    with pytest.raises(TooLarge, match="over"):
        read_source(tmp_path, Ceiling(source_bytes=49))
    assert len(read_source(tmp_path, Ceiling(source_bytes=50))) == 5


def test_a_project_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(InvalidField, match="no files"):
        read_source(tmp_path, CEILING)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidPath, match="there is no"):
        read_source(tmp_path / "nothing.c", CEILING)


def test_hostile_2_bytes_that_are_no_text_are_kept() -> None:
    assert content(b"\xff\x00") == Base64(b"\xff\x00")
    assert content("ü\0".encode()) == "ü\0"


def test_an_input_file(tmp_path: Path) -> None:
    put(tmp_path, {"data.csv": "1,2"})
    given, blob = pack_input(tmp_path / "data.csv", None, writable=False, ceiling=CEILING)
    assert (given.path, given.tree, given.writable) == ("/in/data.csv", False, False)
    assert given.sha256 == blob.sha256 == sha256_hex(b"1,2")
    assert b"".join(blob.chunks()) == b"1,2" == b"".join(blob.chunks())


def test_an_input_directory_is_a_deterministic_archive(tmp_path: Path) -> None:
    for name in ("one", "two"):
        put(tmp_path / name, {"b/x.txt": "x", "a.sh": "#!", ".gitignore": "*"})
        (tmp_path / name / "empty").mkdir()
        (tmp_path / name / "a.sh").chmod(0o755)
    os.utime(tmp_path / "two/a.sh", (1, 1))
    first, blob = pack_input(tmp_path / "one", "/data", writable=True, ceiling=CEILING)
    second, _ = pack_input(tmp_path / "two", "/data", writable=True, ceiling=CEILING)
    assert first == second
    assert first.tree
    with tarfile.open(fileobj=io.BytesIO(b"".join(blob.chunks()))) as archive:
        members = {member.name: member for member in archive}
    assert sorted(members) == [".gitignore", "a.sh", "b", "b/x.txt", "empty"]  # data is not judged by .gitignore
    assert members["a.sh"].mode == 0o755
    assert members["b/x.txt"].mode == 0o644
    assert {(member.uid, member.gid, member.mtime, member.uname) for member in members.values()} == {(0, 0, 0, "")}


def test_long_names_fit_into_the_archive(tmp_path: Path) -> None:
    name = "/".join(["d" * 60] * 4) + "/ü.txt"
    put(tmp_path / "tree", {name: "x"})
    _, blob = pack_input(tmp_path / "tree", "/", writable=False, ceiling=CEILING)
    with tarfile.open(fileobj=io.BytesIO(b"".join(blob.chunks()))) as archive:
        assert name in archive.getnames()


def test_a_large_input_goes_through_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "_IN_MEMORY", 1000)
    put(tmp_path / "tree", {"big": "x" * 100_000})
    _, blob = pack_input(tmp_path / "tree", None, writable=False, ceiling=CEILING)
    data = b"".join(blob.chunks())
    assert len(data) == blob.size
    assert sha256_hex(data) == blob.sha256


def test_inputs_that_cannot_be_sent(tmp_path: Path) -> None:
    put(tmp_path, {"tree/ok": "x", "file": "12345"})
    (tmp_path / "tree/link").symlink_to("/etc/passwd")
    with pytest.raises(InvalidPath, match="symbolic link"):
        pack_input(tmp_path / "tree", None, writable=False, ceiling=CEILING)
    with pytest.raises(TooLarge):
        pack_input(tmp_path / "file", None, writable=False, ceiling=Ceiling(input_bytes=4))
    with pytest.raises(InvalidPath):
        pack_input(tmp_path / "file", "/in/../etc", writable=False, ceiling=CEILING)
    with pytest.raises(InvalidPath, match="there is no"):
        pack_input(tmp_path / "none", None, writable=False, ceiling=CEILING)
