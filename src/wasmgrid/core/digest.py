"""Content addresses: sha256 as 64 lower-case hex digits, and the keys made out of several of them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence

import msgspec

_SHA256 = re.compile(r"[0-9a-f]{64}")


def sha256_hex(data: bytes | bytearray | memoryview) -> str:
    """The digest that names `data`."""
    return hashlib.sha256(data).hexdigest()


def is_sha256(text: str) -> bool:
    """Whether `text` could name a blob; nothing else may become part of a path."""
    return _SHA256.fullmatch(text) is not None


def pack_files(files: Mapping[str, bytes]) -> bytes:
    """A project as one blob: its paths, sorted, with their contents. The same files give the same bytes."""
    return msgspec.msgpack.encode(sorted(files.items()))


def unpack_files(blob: bytes) -> dict[str, bytes]:
    """The inverse of `pack_files`; raises `msgspec.DecodeError` where `blob` is something else."""
    return dict(msgspec.msgpack.decode(blob, type=list[tuple[str, bytes]]))


def build_key(
    *,
    source_sha256: str,
    language: str,
    entry: str,
    build_flags: Sequence[str],
    toolchain: str,
    function: str | None = None,
) -> str:
    """What decides the module that a build makes: source, flags, the function it offers, the toolchain's identity."""
    parts = ["build", 1, source_sha256, language, entry, list(build_flags), toolchain]
    return sha256_hex(msgspec.msgpack.encode(parts if function is None else [*parts, function]))
