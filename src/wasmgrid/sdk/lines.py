"""One line of text per task, out of a file, a stream or values: hashed and counted as it passes, never held at once."""

from __future__ import annotations

import codecs
import hashlib
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from wasmgrid.core.errors import InvalidField, InvalidPath
from wasmgrid.core.limits import MB
from wasmgrid.sdk import blobs, jsontexts
from wasmgrid.sdk.blobs import Blob

_IN_MEMORY = 8 * MB  # lines up to this never touch the disk
_FIELD = "lines"


@dataclass(frozen=True)
class GivenLines:
    """A text with `count` lines, and what a task does with its own (`core.job.Lines.use`)."""

    blob: Blob
    count: int
    use: str

    def used_as(self, use: str) -> GivenLines:
        """The same lines for another use."""
        return replace(self, use=use)


def of_file(path: Path, use: str = "stdin") -> GivenLines:
    """The lines of a file, which stays as it is until it was sent; of a pipe, what comes out of it now."""
    try:
        if not path.is_file():
            with path.open("rb") as file:
                return of_stream(file, use)
        return _checked(blobs.of_file(path), str(path), use)
    except OSError as error:
        raise InvalidPath(f"{path} cannot be read: {error.strerror}", field=_FIELD) from None


def of_stream(file: IO[bytes], use: str = "stdin") -> GivenLines:
    """The lines that come out of `file` until its end, put aside in a temporary file where they are many."""
    return _checked(blobs.of_temporary(_aside(file)), "standard input", use)


def of_texts(texts: Iterable[str], use: str = "stdin") -> GivenLines:
    """One line for each text; raises `InvalidField` where one has a line end in it."""
    return _written((_one_line(text) for text in texts), use)


def of_values(values: Iterable[Any], use: str = "call") -> GivenLines:
    """One line of JSON for each value: with `call` a list is a function's arguments, anything else its only one."""
    return _written(map(jsontexts.of_value, values), use)


def of_json(file: IO[bytes], use: str = "call") -> GivenLines:
    """One line for each element of a JSON array, or for each of several values one after the other (NDJSON).

    Their text stays what it was (no number is rounded), without the white space between its parts.
    """
    seekable = file if file.seekable() else _aside(file)
    try:
        try:
            return _written(jsontexts.elements(seekable), use)
        except jsontexts.NotOneArrayError:
            seekable.seek(0)
            return _written(jsontexts.values(seekable), use)
    except ValueError as error:
        raise InvalidField(f"the inputs are no JSON: {error}", field=_FIELD) from None


def _written(lines: Iterable[bytes], use: str) -> GivenLines:
    file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 -- it lives as long as the blob
    digest, size, count = hashlib.sha256(), 0, 0
    try:
        for line in lines:
            written = line + b"\n"
            file.write(written)
            digest.update(written)
            size += len(written)
            count += 1
    except BaseException:
        file.close()
        raise
    if not count:
        file.close()
        raise _nothing("the inputs")
    return GivenLines(blobs.kept(file, digest.hexdigest(), size), count, use)


def _aside(file: IO[bytes]) -> IO[bytes]:
    kept = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 -- it lives as long as its blob
    while chunk := file.read(blobs.CHUNK_BYTES):
        kept.write(chunk)
    kept.seek(0)
    return kept


def _checked(blob: Blob, name: str, use: str) -> GivenLines:
    """Counted; raises `InvalidField` where there are none, or bytes that are no text."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    count, last = 0, b"\n"
    try:
        for chunk in blob.chunks():
            decoder.decode(chunk)
            count += chunk.count(b"\n")
            last = chunk[-1:]
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise InvalidField(f"{name} is not UTF-8 text", hint="bytes can be sent as --input", field=_FIELD) from None
    count += last != b"\n"
    if not count:
        raise _nothing(name)
    return GivenLines(blob, count, use)


def _one_line(text: str) -> bytes:
    if "\n" in text:
        raise InvalidField(f"{text[:40]!r} is more than one line", hint="encode it, as JSON", field=_FIELD)
    return text.encode()


def _nothing(name: str) -> InvalidField:
    return InvalidField(f"{name} holds no line, and each line is a task", field=_FIELD)
