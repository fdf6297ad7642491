"""Which projects may come in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmgrid.build.project import check_source
from wasmgrid.build.workdir import write_files
from wasmgrid.core.errors import InvalidField, TooLarge
from wasmgrid.core.limits import Ceiling


def test_a_plain_project_comes_in() -> None:
    check_source({"src/main.rs": b"fn main() {}", "src/empty.rs": b"", "Cargo.toml": b"x"})


@pytest.mark.parametrize("files", [{}, {"a.c": b""}, {"a.c": b"", "b.h": b""}])
def test_hostile_03_empty_source(files: dict[str, bytes]) -> None:
    with pytest.raises(InvalidField) as refused:
        check_source(files)
    assert refused.value.field == "source.files"


def test_hostile_02_bytes_that_are_no_text_are_kept_for_the_compiler_to_judge() -> None:
    check_source({"a.rs": b"\xff\xfe\0"})


@pytest.mark.parametrize(
    "path",
    [
        "../x.c",
        "/etc/x.c",
        "a/../../x.c",
        "a//x.c",
        "./x.c",
        "a\\x.c",
        "x\n.c",
        "x\0.c",
        "",
        "a/" * 70 + "x",
        "\ud800.c",
    ],
)
def test_hostile_15_paths_that_leave_the_project(path: str) -> None:
    with pytest.raises(InvalidField) as refused:
        check_source({path: b"x"})
    assert refused.value.field == "source.files"


@pytest.mark.parametrize("files", [{"a": b"x", "a/b.c": b"x"}, {"a/b": b"x", "a/b/c/d.c": b"x"}])
def test_a_file_cannot_be_a_directory_too(files: dict[str, bytes]) -> None:
    with pytest.raises(InvalidField):
        check_source(files)


def test_sizes_are_bounded() -> None:
    with pytest.raises(TooLarge):
        check_source({f"{number}.c": b"x" for number in range(11)}, Ceiling(source_files=10))
    with pytest.raises(TooLarge):
        check_source({"a.c": b"x" * 101}, Ceiling(source_bytes=100))


@given(st.dictionaries(st.text(max_size=12), st.binary(max_size=4), max_size=4))
def test_whatever_is_let_in_can_be_written_below_its_root(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]
) -> None:
    try:
        check_source(files)
    except InvalidField:
        return
    root = tmp_path_factory.mktemp("src")
    write_files(root, files)
    found = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert found == files
