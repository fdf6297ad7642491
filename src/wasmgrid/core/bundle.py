"""The module of an interpreted language: a program with the digest of the interpreter that it runs on.

A bundle is a WebAssembly module of some kilobytes with the program's files: it imports its functions from its
interpreter (so that any other runtime says what it lacks) and has all else in one custom section. The same program on
the same interpreter gives the same bytes, so a bundle's digest names both.
"""

from __future__ import annotations

import msgspec

from wasmgrid.core.digest import is_sha256
from wasmgrid.core.errors import InvalidModule
from wasmgrid.core.interpreters import INTERPRETERS, Interpreter
from wasmgrid.core.paths import check_relative

ROOT = "/src"  # where a guest sees the program's files

_SECTION = b"wasmgrid.bundle"
_HEADER = b"\0asm\x01\0\0\0"
_MODULE = "wasmgrid:"  # what its functions are imported from: this and the interpreter's name, version and digest
_START, _CALL = "_start", "wasmgrid_call"


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """`interpreter` is a digest. `argv` runs the program (the user's arguments follow), `serve_argv` serves calls of a
    function (its name follows). `files` (path -> content) are what the guest sees, read-only, in `ROOT`."""

    interpreter: str
    argv: list[str]
    serve_argv: list[str]
    files: dict[str, bytes]


def pack(bundle: Bundle) -> bytes:
    """The module. Raises `InvalidModule` for an interpreter that nobody knows."""
    known = _interpreter(bundle.interpreter)
    name = f"{_MODULE}{known.name}@{known.version}/{known.sha256}"
    imported = _vector([_name(name) + _name(_START) + b"\x00\x00"])
    exported = _vector([_name(_START) + b"\x00\x00", _name(_CALL) + b"\x00\x00"])
    content = msgspec.msgpack.encode(bundle, order="sorted")
    return b"".join(
        [
            _HEADER,
            _section(1, _vector([b"\x60\x00\x00"])),  # one type: () -> ()
            _section(2, imported),
            _section(7, exported),
            _section(0, _number(len(_SECTION)) + _SECTION + content),
        ]
    )


def is_bundle(head: bytes) -> bool:
    """Whether a module that begins so (its first KiB is enough) says that it is a bundle."""
    return head.startswith(_HEADER + b"\x01\x04\x01\x60\x00\x00\x02") and _MODULE.encode() in head[:32]


def unpack(module: bytes) -> Bundle:
    """What `pack` made the module of. Raises `InvalidModule` for anything else."""
    _, found, rest = module.partition(_SECTION)
    try:
        bundle = msgspec.msgpack.decode(rest, type=Bundle)
    except msgspec.DecodeError as error:
        raise InvalidModule(f"the bundle is damaged: {error}") from error
    if not found or pack(bundle) != module:
        raise InvalidModule("the bundle is damaged: it is not as a build makes it")
    for path in bundle.files:
        check_relative(path, field="module")
        if any(parent in bundle.files for parent in _parents(path)):
            raise InvalidModule(f"the bundle is damaged: {path[:200]!r} lies in a file")
    return bundle


def _parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]


def interpreter_of(bundle: Bundle) -> Interpreter:
    """What it runs on."""
    return _interpreter(bundle.interpreter)


def _interpreter(sha256: str) -> Interpreter:
    known = INTERPRETERS.get(sha256)
    if known is None:
        shown = sha256[:12] if is_sha256(sha256) else "of no digest"
        raise InvalidModule(
            f"the bundle is for the interpreter {shown}, which this version of wasmgrid does not know",
            hint="build it again from its source",
        )
    return known


def _section(number: int, body: bytes) -> bytes:
    return bytes([number]) + _number(len(body)) + body


def _vector(items: list[bytes]) -> bytes:
    return _number(len(items)) + b"".join(items)


def _name(text: str) -> bytes:
    raw = text.encode()
    return _number(len(raw)) + raw


def _number(value: int) -> bytes:
    """LEB128."""
    made = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        made.append(low | (0x80 if value else 0))
        if not value:
            return bytes(made)
