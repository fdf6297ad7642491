"""What an array may ask for: counted, bounded, and refused by the name of the field."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmgrid.core.digest import sha256_hex
from wasmgrid.core.errors import InputNotFound, InvalidField, WasmgridError
from wasmgrid.core.job import JobSpec
from wasmgrid.core.limits import Ceiling
from wasmgrid.server import arrays
from wasmgrid.server.arrays import LINE_BYTES, Sized
from wasmgrid.store import Store

SPEC = {"module_sha256": "a" * 64}


class Memory:
    """Blobs in memory, as far as counting lines asks for them; they come in pieces of `piece` bytes."""

    def __init__(self, *texts: bytes) -> None:
        self._texts = {sha256_hex(text): text for text in texts}

    async def size(self, sha256: str) -> int | None:
        text = self._texts.get(sha256)
        return None if text is None else len(text)

    async def read(self, sha256: str, offset: int = 0, length: int | None = None) -> bytes:
        return self._texts[sha256][offset:][:length]


def spec(**fields: Any) -> JobSpec:
    return msgspec.convert(SPEC | fields, JobSpec)


def size_of(text: bytes | None, ceiling: Ceiling | None = None, **fields: Any) -> Sized:
    if text is not None:
        fields["lines"] = {"sha256": sha256_hex(text)} | fields.pop("lines", {})
    asked = spec(**fields)
    arrays.check(asked)
    blobs: Any = Memory() if text is None else Memory(text)
    return asyncio.run(arrays.sized(asked, blobs, ceiling or Ceiling()))


def refused(text: bytes | None = None, ceiling: Ceiling | None = None, **fields: Any) -> tuple[str | None, str]:
    with pytest.raises(WasmgridError) as caught:
        size_of(text, ceiling, **fields)
    return caught.value.field, caught.value.message


def test_a_job_without_an_array_has_one_task() -> None:
    assert size_of(None).tasks == 1


def test_a_sparse_array_has_as_many_tasks_as_indexes() -> None:
    assert size_of(None, array="3,7,10-20").tasks == 13


def test_a_million_tasks_are_counted_without_being_listed() -> None:
    assert size_of(None, array="0-999999").tasks == 1_000_000


def test_lines_alone_are_one_task_each() -> None:
    sized = size_of(b"a\nb\n\nd")
    assert sized.tasks == 4
    assert sized.spec.array == "0-3"
    assert sized.spec.lines is not None
    assert sized.spec.lines.count == 4


def test_an_array_may_take_some_of_the_lines() -> None:
    sized = size_of(b"a\nb\nc\n", array="1-2")
    assert (sized.tasks, sized.spec.array) == (2, "1-2")


def test_hostile_55_more_tasks_than_the_grid_allows_are_refused() -> None:
    assert refused(array="0-10000000")[0] == "array"
    assert refused(b"x\n" * 11, Ceiling(tasks=10))[0] == "array"


def test_an_index_without_a_line_is_refused() -> None:
    field, message = refused(b"a\nb\nc\n", array="0,3")
    assert field == "array"
    assert message == "task 3 has no line: there are 3, for the indexes 0-2"


def test_a_text_without_lines_is_refused() -> None:
    assert refused(b"")[0] == "lines"


def test_lines_that_are_no_text_are_refused_by_their_number() -> None:
    assert refused(b"a\nb\n\xff\nd\n") == ("lines", "line 3 is not UTF-8")
    assert refused(b"a\nb\xc3") == ("lines", "line 2 is not UTF-8")


def test_a_line_without_end_is_refused_before_it_is_all_read() -> None:
    field, message = refused(b"a\n" + b"x" * (LINE_BYTES + 1) + b"\nb\n")
    assert (field, message) == ("lines", "line 2 has more than 256.0 KiB")
    assert size_of(b"a\n" + b"x" * LINE_BYTES + b"\nb\n").tasks == 3


def test_a_line_that_is_too_long_is_found_across_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "PIECE_BYTES", 1000)
    monkeypatch.setattr(arrays, "LINE_BYTES", 2500)
    assert size_of(b"x" * 2500 + b"\n" + b"y" * 2500).tasks == 2
    assert refused(b"a\n" + b"x" * 2501 + b"\ny")[0] == "lines"
    assert refused(b"a\n" + b"x" * 2501)[0] == "lines"


def test_a_line_of_arguments_has_no_nul() -> None:
    assert refused(b"a\nb\0\n", lines={"use": "args"})[1].startswith("line 2 has a NUL")
    assert size_of(b"a\nb\0\n").tasks == 2


def test_a_count_that_is_said_must_be_right() -> None:
    assert size_of(b"a\nb\n", lines={"count": 2}).tasks == 2
    assert refused(b"a\nb\n", lines={"count": 3})[0] == "lines.count"


def test_lines_that_are_not_here_are_named() -> None:
    with pytest.raises(InputNotFound) as caught:
        size_of(None, lines={"sha256": "b" * 64})
    assert caught.value.field == "lines.sha256"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"concurrency": 2}, "concurrency"),
        ({"max_fails": 0}, "max_fails"),
        ({"isolate": True}, "isolate"),
        ({"array": "0-3", "build_only": True}, "array"),
        ({"function": "add", "build_only": True}, "function"),
        ({"function": "add add"}, "function"),
        ({"function": "add\n"}, "function"),
        ({"function": "add", "stdin": "x"}, "stdin"),
        ({"lines": {"sha256": "b" * 64, "use": "call"}}, "lines.use"),
        ({"lines": {"sha256": "b" * 64, "use": "line"}, "args": ["x"]}, "lines.use"),
        ({"lines": {"sha256": "b" * 64}, "function": "add"}, "lines.use"),
        ({"lines": {"sha256": "b" * 64}, "stdin": "x"}, "stdin"),
        ({"array": "5-3"}, "array"),
        ({"array": "0-3;rm"}, "array"),
        ({"array": "1-99999999999"}, "array"),
    ],
)
def test_what_does_not_go_together_is_refused_by_its_field(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidField) as caught:
        size_of(None, **fields)
    assert caught.value.field == field


@given(st.lists(st.text(alphabet="aä€😀 ", max_size=7), min_size=1, max_size=30), st.booleans())
def test_lines_are_counted_as_they_are_split(lines: list[str], ended: bool) -> None:
    text = "\n".join(lines).encode() + b"\n" * ended
    expected = text.count(b"\n") + (not text.endswith(b"\n"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrays, "PIECE_BYTES", 5)
        if not text:
            assert refused(text)[0] == "lines"
        else:
            assert size_of(text).tasks == expected


def test_lines_of_the_store_are_counted(tmp_path: Path) -> None:
    async def count() -> int:
        store = await Store.open(tmp_path)
        try:
            sha256, _ = await store.blobs.put(b"line\n" * 300_000)
            asked = spec(lines={"sha256": sha256})
            return (await arrays.sized(asked, store.blobs, Ceiling())).tasks
        finally:
            await store.close()

    assert asyncio.run(count()) == 300_000
