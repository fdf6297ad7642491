"""A request names places inside a project or a guest, and nothing else."""

from __future__ import annotations

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmgrid.core.errors import WasmgridError
from wasmgrid.core.paths import MAX_DEPTH, MAX_PATH, check_guest, check_relative

PARTS = st.text(alphabet=st.sampled_from("ab/.\\\0 ~é\n"), max_size=30)


@pytest.mark.parametrize("path", ["main.rs", "src/main.rs", "a b/c", ".gitignore", "..a", "é/ü", "a" * 255])
def test_plain_paths_pass(path: str) -> None:
    assert check_relative(path, field="source.files") == path
    assert check_guest(f"/{path}", field="inputs") == f"/{path}"


@pytest.mark.parametrize(
    "path",
    [
        *("", "/etc/passwd", "../x", "a/../b", "a/./b", "a//b", "a/", ".", "..", "a\\b", "a\0b", "a\nb", "\x7f"),
        *("a" * 256, "é" * 128, "/".join(["a"] * (MAX_DEPTH + 1)), "a/" * MAX_PATH),
    ],
)
def test_hostile_51_paths_that_lead_elsewhere_are_refused(path: str) -> None:
    with pytest.raises(WasmgridError) as caught:
        check_relative(path, field="source.files")
    assert caught.value.field == "source.files"


@pytest.mark.parametrize("path", ["in/data", "", "//x", "/../x", "/in/", "/a/./b", "~/x", "C:\\x"])
def test_guest_paths_are_absolute_and_plain(path: str) -> None:
    with pytest.raises(WasmgridError):
        check_guest(path, field="inputs")


def test_the_root_of_a_guest_may_be_named() -> None:
    assert check_guest("/", field="inputs") == "/"


@given(PARTS)
def test_what_passes_stays_below_any_directory_that_it_is_joined_to(path: str) -> None:
    try:
        check_relative(path, field="f")
    except WasmgridError:
        return
    assert posixpath.normpath(posixpath.join("/base", path)) == f"/base/{path}"
