"""Lines for the tasks of an array: out of files, streams, texts and JSON, counted and exact."""

from __future__ import annotations

import io
import json
import os
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmgrid.core.digest import sha256_hex
from wasmgrid.core.errors import InvalidField, InvalidPath, TooLarge
from wasmgrid.core.limits import Ceiling
from wasmgrid.sdk import jsontexts, lines, prepare
from wasmgrid.sdk.lines import GivenLines


def text_of(made: GivenLines) -> bytes:
    data = b"".join(made.blob.chunks())
    assert (made.blob.sha256, made.blob.size) == (sha256_hex(data), len(data))
    return data


@pytest.mark.parametrize(
    ("text", "count"), [(b"a\nb\n", 2), (b"a\nb", 2), (b"\n", 1), (b"one", 1), (b"\n\n\n", 3), ("é\nü".encode(), 2)]
)
def test_lines_of_a_file_and_of_a_stream(tmp_path: Path, text: bytes, count: int) -> None:
    path = tmp_path / "lines"
    path.write_bytes(text)
    for made in (lines.of_file(path), lines.of_stream(io.BytesIO(text))):
        assert (made.count, made.use, text_of(made)) == (count, "stdin", text)
    assert lines.of_file(path, "args").use == "args"


def test_lines_out_of_a_pipe_can_be_read_again(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(b"x\ny\n",))
    writer.start()
    made = lines.of_file(pipe)
    writer.join()
    assert made.count == 2
    assert text_of(made) == text_of(made) == b"x\ny\n"


@pytest.mark.parametrize(("text", "said"), [(b"", "holds no line"), (b"ok\n\xff\n", "not UTF-8")])
def test_what_is_no_text_is_refused(tmp_path: Path, text: bytes, said: str) -> None:
    path = tmp_path / "lines"
    path.write_bytes(text)
    with pytest.raises(InvalidField, match=said):
        lines.of_file(path)
    with pytest.raises(InvalidPath, match="cannot be read"):
        lines.of_file(tmp_path / "none")


def test_texts_and_values() -> None:
    assert text_of(lines.of_texts(["a", "b c"])) == b"a\nb c\n"
    assert text_of(lines.of_values([[2, 3], "x", {"k": [1.5]}])) == b'[2,3]\n"x"\n{"k":[1.5]}\n'
    with pytest.raises(InvalidField, match="more than one line"):
        lines.of_texts(["a\nb"])
    with pytest.raises(InvalidField, match="holds no line"):
        lines.of_values([])


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("[1, 2.50, 100000000000000000000000, 1e400]", b"1\n2.50\n100000000000000000000000\n1e400\n"),
        ("[[2, 3],\n [4, 5]]", b"[2,3]\n[4,5]\n"),
        ("[2, 3]\n[4, 5]\n", b"[2,3]\n[4,5]\n"),
        ("[2, 3]\n", b"2\n3\n"),
        ('{"a": "x\\ny"}\n{"b": 1}', b'{"a":"x\\ny"}\n{"b":1}\n'),
        ('"a" 1 null true', b'"a"\n1\nnull\ntrue\n'),
        ("\ufeff[1]", b"1\n"),
    ],
)
def test_json_arrays_and_values_in_a_row(text: str, made: bytes) -> None:
    assert text_of(lines.of_json(io.BytesIO(text.encode()))) == made


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        " ",
        "[1,]",
        "[1 2]",
        "[1",
        "[,1]",
        '["a',
        "[NaN]",
        "nonsense",
        "[1]]",
        "\x00",
        '"\ud800"',
        "[" * 100_000,
    ],
)
def test_inputs_that_are_no_json(text: str) -> None:
    with pytest.raises(InvalidField, match=r"no JSON|holds no line"):
        lines.of_json(io.BytesIO(text.encode("utf-8", "surrogatepass")))


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(_values, min_size=1, max_size=20), st.integers(1, 7), st.sampled_from([None, 2]), st.booleans())
def test_whatever_the_pieces_the_values_are_the_same(
    values: list[Any], piece: int, indent: int | None, ascii_only: bool
) -> None:
    class Slow(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(piece, size) if size and size > 0 else size)

    array = json.dumps(values, indent=indent, ensure_ascii=ascii_only).encode()
    assert [json.loads(text) for text in jsontexts.elements(Slow(array))] == values
    row = "\n".join(json.dumps(value, ensure_ascii=ascii_only) for value in values).encode()
    assert [json.loads(text) for text in jsontexts.values(Slow(row))] == values


def test_many_inputs_are_never_held_at_once() -> None:
    """300,000 inputs, of which neither the values nor the text are in memory: it goes to a file on the way."""

    def inputs() -> Iterator[list[int]]:
        for number in range(300_000):
            yield [number, 10**12 + number, number, number]

    tracemalloc.start()
    try:
        made = lines.of_values(inputs())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert made.count == 300_000
    assert made.blob.size > 10 << 20
    assert peak < 10 << 20  # of which 8 MiB are the beginning of the temporary file


def test_a_job_names_its_lines() -> None:
    given_lines = lines.of_texts(["a", "b"], "args")
    made = prepare.job(b"(module)", file_name="x.wat", lines=given_lines)
    assert made.spec.lines is not None
    assert (made.spec.lines.use, made.spec.lines.sha256) == ("args", given_lines.blob.sha256)
    assert set(made.blobs) == {given_lines.blob.sha256}
    with pytest.raises(TooLarge):
        prepare.job(b"(module)", lines=given_lines, ceiling=Ceiling(input_bytes=2))
