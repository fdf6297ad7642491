"""What a WebAssembly binary says of itself, read without running or compiling it, and whether this grid can run it.

Only section headers, imports, exports and counts are read: a 128 MB module costs milliseconds. Function bodies are for
the engine to validate, in a limited process. The format: https://webassembly.github.io/spec/core/binary/modules.html
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from wasmgrid.build.wasi import PREVIEW1, PREVIEW1_FUNCTIONS
from wasmgrid.core.bundle import is_bundle, unpack
from wasmgrid.core.errors import InvalidModule

MAX_FUNCTIONS = 200_000  # ten times what clang makes of itself; compile time and memory grow with it
MAX_IMPORTS = 10_000
MAX_EXPORTS = 100_000

_HEADER_BYTES = 8
_CORE = b"\0asm\x01\0\0\0"
_COMPONENT = b"\0asm\x0d\0\x01\0"
_CUSTOM, _IMPORT, _FUNCTION, _MEMORY, _EXPORT, _CODE = 0, 2, 3, 5, 7, 10
_ORDER = {section: place for place, section in enumerate((1, 2, 3, 4, 5, 13, 6, 7, 8, 9, 12, 10, 11))}
_KINDS = ("function", "table", "memory", "global", "tag")


class ModuleInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A module's outside: `imports` as (module, name, kind), `exports` as (name, kind), and how much is in it."""

    kind: str = "core"
    imports: list[tuple[str, str, str]] = []
    exports: list[tuple[str, str]] = []
    memories: int = 0
    functions: int = 0


def inspect(data: bytes | memoryview, function: str | None = None, *, library: bool = False) -> ModuleInfo:
    """What `data` is, where this grid can run it; raises `InvalidModule` that says what it is instead, or lacks.

    `function`: it is to be called, so that the module need not be a program. `library`: that some function of it may
    be called is enough.
    """
    _check_header(bytes(data[:4096]))
    info = _read(_Reader(memoryview(data), _HEADER_BYTES))
    if is_bundle(bytes(data[:1024])):
        unpack(bytes(data))  # it imports its functions from its interpreter, and nothing else
    else:
        _check_size(info)
        _check_imports(info)
    if function is not None:
        _check_offers(info, function)
    elif not (library and any(kind == "function" for _, kind in info.exports)):
        _check_start(info)
    return info


def _check_header(head: bytes) -> None:
    if head.startswith(_CORE):
        return
    if head.startswith(_COMPONENT):
        raise InvalidModule(
            "this is a WebAssembly component, and this grid runs core modules",
            hint="submit the core module it was made from (target wasm32-wasip1)",
        )
    if head.startswith(b"\0asm"):
        raise InvalidModule(f"WebAssembly of an unknown version ({head[4:8].hex(' ') or 'truncated'})")
    raise InvalidModule(f"not a WebAssembly module: {_what(head)}", hint="submit a .wasm made for wasm32-wasip1")


def _what(head: bytes) -> str:
    if not head:
        return "it is empty"
    for magic, what in (
        (b"\x7fELF", "it is an ELF file (native or precompiled code), which is never loaded"),
        (b"MZ", "it is a Windows program"),
        (b"\xcf\xfa\xed\xfe", "it is a macOS program"),
        (b"!<arch>", "it is an archive of object files"),
        (b"\x1f\x8b", "it is gzip-compressed"),
        (b"PK\x03\x04", "it is a zip archive"),
    ):
        if head.startswith(magic):
            return what
    if head.lstrip().startswith((b"(module", b"(component", b";;", b"(;")):
        return "it is WebAssembly text; name it .wat"
    return f"it begins with {head[:4].hex(' ')} where a module begins with 00 61 73 6d"


def _read(reader: _Reader) -> ModuleInfo:
    imports: list[tuple[str, str, str]] = []
    exports: list[tuple[str, str]] = []
    memories = functions = bodies = 0
    for section, body in _sections(reader):
        match section:
            case 2:
                imports = list(_imports(body))
            case 3:
                functions = body.count("functions", MAX_FUNCTIONS)
            case 5:
                memories = body.count("memories", body.left)
                for _ in range(min(memories, 1)):
                    body.limits(memory=True)
            case 7:
                exports = list(_exports(body))
            case 10:
                bodies = body.count("function bodies", MAX_FUNCTIONS)
    if functions != bodies:
        raise InvalidModule(f"the module declares {functions} functions and has {bodies} bodies: truncated or damaged")
    memories += sum(kind == "memory" for _, _, kind in imports)
    return ModuleInfo(imports=imports, exports=exports, memories=memories, functions=functions)


def _sections(reader: _Reader) -> Iterator[tuple[int, _Reader]]:
    last = -1
    while reader.left:
        section, size = reader.byte(), reader.u32()
        body = reader.part(size)
        if section == _CUSTOM:
            continue
        place = _ORDER.get(section)
        if place is None:
            raise InvalidModule(f"the module has a section of unknown kind {section}: damaged, or from the future")
        if place <= last:
            raise InvalidModule(f"the module has section {section} twice or out of order: damaged")
        last = place
        yield section, body


def _imports(body: _Reader) -> Iterator[tuple[str, str, str]]:
    for _ in range(body.count("imports", MAX_IMPORTS)):
        module, name, kind = body.name(), body.name(), body.kind()
        match kind:
            case "function":
                body.u32()
            case "table":
                body.value_type()
                body.limits(memory=False)
            case "memory":
                body.limits(memory=True)
            case "global":
                body.value_type()
                body.byte()
            case "tag":
                body.byte()
                body.u32()
        yield module, name, kind


def _exports(body: _Reader) -> Iterator[tuple[str, str]]:
    for _ in range(body.count("exports", MAX_EXPORTS)):
        name, kind = body.name(), body.kind()
        body.u32()
        yield name, kind


def _check_size(info: ModuleInfo) -> None:
    if info.memories > 1:
        raise InvalidModule(
            f"the module has {info.memories} memories, and a guest has one", hint="build it without multi-memory"
        )


def _check_imports(info: ModuleInfo) -> None:
    if any(name == "thread-spawn" for _, name, _ in info.imports):
        raise InvalidModule(
            "the module starts threads (it imports thread-spawn), and a guest has one thread",
            hint="build it for wasm32-wasip1, not wasm32-wasip1-threads; run many tasks for parallel work",
        )
    unknown = [
        f"{_shown(module)}.{_shown(name)}"
        for module, name, kind in info.imports
        if module != PREVIEW1 or kind != "function" or name not in PREVIEW1_FUNCTIONS
    ]
    if unknown:
        raise InvalidModule(
            f"the module imports what no guest gets: {_some(unknown)}",
            hint=f"only functions of {PREVIEW1} are there: build for wasm32-wasip1",
        )


def _check_offers(info: ModuleInfo, function: str) -> None:
    """Whether a function can be called: through the entry that a build adds, or as an export."""
    if ("wasmgrid_call", "function") in info.exports or (function, "function") in info.exports:
        return
    names = [_shown(name) for name, kind in info.exports if kind == "function"]
    raise InvalidModule(
        f"the module exports no function {_shown(function)}; the functions that it exports: "
        f"{_some(names) if names else 'none'}"
    )


def _check_start(info: ModuleInfo) -> None:
    if ("_start", "function") in info.exports:
        return
    names = [f"{_shown(name)} ({kind})" for name, kind in info.exports]
    raise InvalidModule(
        f"the module has no _start function, so it is no program; it exports {_some(names) if names else 'nothing'}",
        hint="build it as a program with a main function, not as a library",
    )


def _shown(name: str) -> str:
    """A name out of a foreign file, harmless in a terminal and short."""
    escaped = name.encode("unicode_escape").decode("ascii")
    return escaped if len(escaped) <= 80 else escaped[:80] + "..."


def _some(names: list[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


class _Reader:
    """A cursor over bytes that raises `InvalidModule` instead of running off their end."""

    def __init__(self, data: memoryview, at: int = 0) -> None:
        self._data = data
        self._at = at

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def part(self, size: int) -> _Reader:
        if size > self.left:
            raise InvalidModule(f"the module is truncated: {size} bytes are announced, {self.left} are left")
        self._at += size
        return _Reader(self._data[self._at - size : self._at])

    def byte(self) -> int:
        if not self.left:
            raise InvalidModule("the module is truncated")
        self._at += 1
        return self._data[self._at - 1]

    def u32(self) -> int:
        value = 0
        for shift in range(0, 70, 7):  # ten bytes: limits of a 64-bit memory are read here too
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if not byte & 0x80:
                return value
        raise InvalidModule("the module has a malformed number: damaged")

    def count(self, what: str, most: int) -> int:
        value = self.u32()
        if value > most:
            raise InvalidModule(f"the module has {value} {what}, this grid takes at most {most}")
        return value

    def name(self) -> str:
        raw = self.part(self.u32())
        try:
            return str(raw._data, "utf-8")  # noqa: SLF001 - its own kind
        except UnicodeDecodeError:
            raise InvalidModule("the module has a name that is not UTF-8: damaged") from None

    def kind(self) -> str:
        kind = self.byte()
        if kind >= len(_KINDS):
            raise InvalidModule(f"the module has an import or export of unknown kind {kind}: damaged")
        return _KINDS[kind]

    def value_type(self) -> None:
        if self.byte() in {0x63, 0x64}:  # (ref null? heaptype): the heap type follows
            self.u32()

    def limits(self, *, memory: bool) -> None:
        flags = self.byte()
        self.u32()
        if flags & 1:
            self.u32()
        if memory and flags & 2:
            raise InvalidModule(
                "the module's memory is shared, and a guest has one thread", hint="build without threads"
            )
        if memory and flags & 4:
            raise InvalidModule(
                "the module's memory is 64-bit, and a guest's is 32-bit", hint="build for wasm32-wasip1"
            )
