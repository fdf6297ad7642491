"""The keywords of run, submit, map and function: what they become, and what is said of those that are none."""

from __future__ import annotations

import inspect
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import wasmgrid
from wasmgrid.core.errors import InvalidField, InvalidPath
from wasmgrid.core.job import Base64, JobSpec
from wasmgrid.sdk import options, program
from wasmgrid.sdk.functions import declared, word

SOURCE = "int main(void) {\n return 0; }\n"


def spec(**asked: Any) -> JobSpec:
    return options.request(SOURCE, asked).spec


def test_keywords_become_the_keys_of_a_request() -> None:
    made = spec(
        name="n", args=["a", 1, 2.5], env={"K": "V"}, cpus=0.5, memory_mb=64, gpus=1, time_limit="1m30s",
        queue_timeout=5, total_timeout=timedelta(hours=1), output_limit="2M", array=100, retries=3,
        require={"arch": "arm64"}, stdin=b"\xff", language="c", idempotency_key="k",
    )  # fmt: skip
    assert (made.args, made.env, made.require) == (["a", "1", "2.5"], {"K": "V"}, {"arch": "arm64"})
    assert (made.time_limit_s, made.queue_timeout_s, made.total_timeout_s) == (90.0, 5.0, 3600.0)
    assert (made.output_limit_bytes, made.array, made.stdin) == (2 << 20, "0-99", Base64(b"\xff"))
    assert made.source is not None
    assert (made.source.files, made.source.language) == ({"main": SOURCE}, "c")


def test_every_keyword_has_a_key_of_the_request() -> None:
    words = set(options.JobOptions.__annotations__)
    keys = {key.removesuffix("_s").removesuffix("_bytes") for key in JobSpec.__struct_fields__}
    given_otherwise = {"source", "module_sha256", "lines", "function", "build_only"}
    assert words - {"language", "entry", "build_flags"} == keys - given_otherwise


@pytest.mark.parametrize(
    ("array", "indexes"), [(1, "0-0"), (range(5, 10), "5-9"), (range(0, 10, 5), "0,5"), ("3,7", "3,7")]
)
def test_arrays(array: Any, indexes: str) -> None:
    assert spec(array=array).array == indexes


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"array": 0}, "at least one task"),
        ({"time_limit": "soon"}, "not a duration"),
        ({"output_limit": "much"}, "not a size"),
        ({"inputs": "data.csv"}, "list of paths"),
        ({"inputs": {"in/x": b""}}, "must begin with /"),
    ],
)
def test_what_cannot_be_is_said_here(asked: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidField, match=says):
        spec(**asked)


def test_an_unknown_keyword_is_a_type_error_that_helps() -> None:
    with pytest.raises(TypeError, match="no keyword 'time_limit_s'; did you mean time_limit"):
        spec(time_limit_s=3)
    with pytest.raises(TypeError, match="did you mean cpus"):
        spec(cpu=3)
    with pytest.raises(TypeError, match="did you mean function"):
        spec(functoin="f")


def test_inputs_as_files_and_as_bytes(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("1,2")
    made = options.request(SOURCE, {"inputs": {"/in/a": tmp_path / "data.csv", "/work/b:rw": b"xyz"}})
    assert [(each.path, each.writable) for each in made.spec.inputs] == [("/in/a", False), ("/work/b", True)]
    assert [b"".join(blob.chunks()) for blob in made.blobs.values()] == [b"1,2", b"xyz"]
    listed = options.request(SOURCE, {"inputs": [str(tmp_path / "data.csv") + ":/x", tmp_path / "data.csv"]}).spec
    assert [each.path for each in listed.inputs] == ["/x", "/in/data.csv"]


def test_what_a_program_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "add.rs").write_text("fn main() {}")
    assert program.resolved("add.rs") == Path("add.rs")
    assert program.resolved(Path("nowhere.rs")) == Path("nowhere.rs")
    assert program.resolved("fn main() {\n}") == b"fn main() {\n}"
    assert program.resolved("fn main() {}", "rust") == b"fn main() {}"
    assert program.resolved(b"\0asm\1") == b"\0asm\1"
    assert program.resolved("a" * 64) == "a" * 64
    for name, language in (("gone.rs", None), ("gone.rs", "rust"), ("fn main() {}", None), ("x" * 5000, None)):
        with pytest.raises(InvalidPath, match="there is no"):
            program.resolved(name, language)


def test_help_spells_the_keywords_out() -> None:
    for method in (wasmgrid.Client.run, wasmgrid.Client.submit, wasmgrid.Client.map, wasmgrid.AsyncClient.run):
        parameters = inspect.signature(method).parameters
        assert {"time_limit", "memory_mb", "args"} <= set(parameters)
        assert parameters["time_limit"].annotation == "Duration"


@pytest.mark.parametrize(
    ("source", "name", "signature"),
    [
        ("fn add(a: i32, b: i32) -> i32 {\n a + b }\n", "add", "fn add(a: i32, b: i32) -> i32"),
        ("int twice(int x)\n{ return add(x, x); }\n", "twice", "int twice(int x)"),
        ("int f(int x) { return add(x, x); }\n", "add", None),
        ("package main\nfunc Add(a, b int) int { return a + b }\n", "Add", "func Add(a, b int) int"),
        ("def add(a, b):\n    return a + b\n", "add", "def add(a, b)"),
        ("nowhere.rs", "add", None),
    ],
)
def test_a_function_shows_how_it_is_declared(source: str, name: str, signature: str | None) -> None:
    assert declared(source, name) == signature


def test_arguments_as_words() -> None:
    given = ["x y", 3, 2.5, True, None, [1, "a"], float("nan"), -float("inf")]
    assert [word(each) for each in given] == ["x y", "3", "2.5", "true", "null", '[1,"a"]', "NaN", "-Infinity"]
    with pytest.raises(InvalidField, match="cannot be sent as JSON"):
        word(object())
