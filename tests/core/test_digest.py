"""Content addresses: the same content has one name, another content another."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmgrid.core.digest import build_key, is_sha256, pack_files, sha256_hex, unpack_files

FILES = st.dictionaries(st.text(max_size=10), st.binary(max_size=20), max_size=5)


@given(FILES)
def test_a_project_packs_to_the_same_bytes_whatever_its_order(files: dict[str, bytes]) -> None:
    packed = pack_files(files)
    assert unpack_files(packed) == files
    assert pack_files(dict(reversed(files.items()))) == packed


@given(FILES, FILES)
def test_other_files_have_another_digest(one: dict[str, bytes], other: dict[str, bytes]) -> None:
    assert (pack_files(one) == pack_files(other)) == (one == other)


def test_what_is_no_project_is_a_decode_error() -> None:
    with pytest.raises(msgspec.DecodeError):
        unpack_files(b"\x00garbage")


@given(st.binary(max_size=50))
def test_a_digest_is_one_and_nothing_near_it_is(data: bytes) -> None:
    digest = sha256_hex(data)
    assert is_sha256(digest)
    assert not any(map(is_sha256, (digest[1:], digest.upper() + "A", digest + "\n", f"../{digest}", "")))


PARTS = {
    "source_sha256": "a" * 64, "language": "c", "entry": "x.c", "build_flags": ["-O2", "-DX"], "toolchain": "c-1"
}  # fmt: skip


@pytest.mark.parametrize(
    ("part", "other"),
    [
        ("source_sha256", "b" * 64),
        ("language", "cpp"),
        ("entry", "y.c"),
        ("build_flags", ["-DX", "-O2"]),
        ("build_flags", ["-O2-DX"]),
        ("toolchain", "c-2"),
    ],
)
def test_a_build_key_changes_with_everything_that_decides_the_module(part: str, other: object) -> None:
    assert build_key(**PARTS) == build_key(**PARTS)  # type: ignore[arg-type]
    assert build_key(**PARTS | {part: other}) != build_key(**PARTS)  # type: ignore[arg-type]
