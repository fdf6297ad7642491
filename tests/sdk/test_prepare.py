"""A request out of what is on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from wasmgrid.core.digest import sha256_hex
from wasmgrid.core.errors import InvalidField, InvalidPath, TooLarge
from wasmgrid.core.limits import Ceiling
from wasmgrid.sdk import prepare
from wasmgrid.sdk.given import GivenInput

MODULE = b"\0asm\1\0\0\0"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data.csv", GivenInput(Path("data.csv"))),
        ("data.csv:/in/x", GivenInput(Path("data.csv"), "/in/x")),
        ("tree:/:rw", GivenInput(Path("tree"), "/", True)),
        ("tree:rw", GivenInput(Path("tree"), None, True)),
        ("tree:ro", GivenInput(Path("tree"))),
        ("a:b:/c:ro", GivenInput(Path("a:b"), "/c")),
        ("/abs/tree:/work:rw", GivenInput(Path("/abs/tree"), "/work", True)),
    ],
)
def test_input_argument(text: str, expected: GivenInput) -> None:
    assert GivenInput.parse(text) == expected


def test_source(tmp_path: Path) -> None:
    (tmp_path / "hello.c").write_text("int main;")
    spec = prepare.job(tmp_path / "hello.c", language="c", build_flags=["-O3"], cpus=2, args=["a"]).spec
    assert spec.source is not None
    assert spec.source.files == {"hello.c": "int main;"}
    assert (spec.source.language, spec.source.build_flags, spec.cpus, spec.args) == ("c", ["-O3"], 2, ["a"])


@pytest.mark.parametrize("name", ["x.wasm", "without-a-suffix"])
def test_a_module_goes_by_digest(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(MODULE)
    prepared = prepare.job(tmp_path / name)
    digest = sha256_hex(MODULE)
    assert prepared.spec.source is None
    assert prepared.spec.module_sha256 == digest
    assert b"".join(prepared.blobs[digest].chunks()) == MODULE


def test_a_digest_is_a_module_that_the_grid_has() -> None:
    prepared = prepare.job("a" * 64)
    assert prepared.spec.module_sha256 == "a" * 64
    assert prepared.blobs == {}


def test_bytes() -> None:
    assert prepare.job(MODULE).spec.module_sha256 == sha256_hex(MODULE)
    source = prepare.job(b"(module)", file_name="main.wat").spec.source
    assert source is not None
    assert source.files == {"main.wat": "(module)"}


def test_inputs_travel_by_digest(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("x")
    prepared = prepare.job(b"(module)", inputs=[GivenInput(tmp_path / "in.txt", "/data/in.txt", True)])
    (given,) = prepared.spec.inputs
    assert (given.path, given.writable, given.sha256) == ("/data/in.txt", True, sha256_hex(b"x"))
    assert given.sha256 in prepared.blobs


def test_what_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.wasm").write_bytes(MODULE)
    with pytest.raises(InvalidField, match="not compiled"):
        prepare.job(tmp_path / "x.wasm", language="c")
    with pytest.raises(TooLarge):
        prepare.job(tmp_path / "x.wasm", ceiling=Ceiling(module_bytes=4))
    with pytest.raises(InvalidPath):
        prepare.job(tmp_path / "nothing.wasm")
