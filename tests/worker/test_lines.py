"""Texts with a line for each task: fetched and indexed once, cut exactly."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wasmgrid.core.digest import sha256_hex
from wasmgrid.core.errors import InputNotFound, InvalidField, NotFound
from wasmgrid.worker import lines
from wasmgrid.worker.blobs import BlobCache
from wasmgrid.worker.courier import Courier
from wasmgrid.worker.lines import LineFile, LineFiles


class Store:
    """What a courier brings, and how often."""

    def __init__(self, *texts: bytes) -> None:
        self.texts = {sha256_hex(text): text for text in texts}
        self.fetched: list[str] = []

    async def fetch(self, sha256: str, dest: Path, *, max_bytes: int) -> int:
        if sha256 not in self.texts:
            raise NotFound("no such blob")
        self.fetched.append(sha256)
        await asyncio.to_thread(dest.write_bytes, self.texts[sha256])
        return len(self.texts[sha256])


def line_files(directory: Path, store: Store, *, keep_index_bytes: int = 1 << 20) -> LineFiles:
    blobs = BlobCache(directory, cast("Courier", store))
    return LineFiles(blobs, max_bytes=1 << 20, keep_index_bytes=keep_index_bytes)


@given(
    texts=st.lists(
        st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\n"), max_size=5), min_size=1, max_size=20
    ),
    ends=st.booleans(),
    step=st.integers(1, 9),
)
@settings(max_examples=100, deadline=None)
def test_every_run_of_lines_is_cut_as_it_is(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], ends: bool, step: int
) -> None:
    if texts == [""] and not ends:
        return  # no line at all
    path = tmp_path_factory.getbasetemp() / "lines"
    path.write_bytes(("\n".join(texts) + ("\n" if ends or not texts[-1] else "")).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "_STEP", step)
        text = LineFile(path)
    assert len(text) == len(texts)
    for first in range(len(texts)):
        for count in range(1, len(texts) - first + 1):
            assert text.cut(first, count) == "\n".join(texts[first : first + count]).encode()


def test_a_task_beyond_the_last_line_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"a\nb")
    with pytest.raises(InvalidField, match="task 2 has no line: there are 2"):
        LineFile(path).cut(1, 2)
    path.write_bytes(b"")
    assert len(LineFile(path)) == 0


def test_a_text_is_fetched_and_indexed_once(tmp_path: Path) -> None:
    async def test() -> None:
        store = Store(b"a\nb\n")
        files, [sha256] = line_files(tmp_path, store), store.texts
        assert files.known(sha256) is None
        found = await asyncio.gather(*[files.get(sha256) for _ in range(5)])
        assert len(set(map(id, found))) == 1
        assert files.known(sha256) is found[0]
        assert store.fetched == [sha256]

    asyncio.run(test())


def test_texts_that_were_not_used_for_longest_make_room(tmp_path: Path) -> None:
    async def test() -> None:
        store = Store(b"a\n" * 10, b"b\n" * 10, b"c\n" * 10)
        files, [a, b, c] = line_files(tmp_path, store, keep_index_bytes=200), store.texts
        first = await files.get(a)
        await files.get(b)
        assert files.known(a) is first
        await files.get(c)
        assert files.known(b) is None
        (tmp_path / a).unlink()
        assert first.cut(9, 1) == b"a"  # also without its file

    asyncio.run(test())


def test_a_text_that_is_gone_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound, match="gone from the store"):
        asyncio.run(line_files(tmp_path, Store()).get(sha256_hex(b"x")))
