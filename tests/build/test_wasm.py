"""What a module says of itself, and which are refused before any engine sees them."""

from __future__ import annotations

import pytest
import wasmtime
from hypothesis import given
from hypothesis import strategies as st

from wasmgrid.build.debuginfo import without_debug
from wasmgrid.build.wasm import MAX_FUNCTIONS, inspect
from wasmgrid.core.errors import InvalidModule

START = '(func (export "_start"))'
FD_WRITE = '(import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))'


def wasm(text: str) -> bytes:
    """The binary of a module's text."""
    return bytes(wasmtime.wat2wasm(text))


def refusal(data: bytes) -> str:
    """Why `data` is refused, with the hint."""
    with pytest.raises(InvalidModule) as refused:
        inspect(data)
    return str(refused.value)


def u32(value: int) -> bytes:
    """LEB128."""
    made = bytearray()
    while value > 127:
        made.append(value & 127 | 128)
        value >>= 7
    return bytes([*made, value])


def section(number: int, body: bytes) -> bytes:
    """One section of a binary."""
    return bytes([number]) + u32(len(body)) + body


def test_a_program_is_described() -> None:
    info = inspect(wasm(f'(module {FD_WRITE} (memory (export "memory") 1) {START})'))
    assert info.kind == "core"
    assert info.imports == [("wasi_snapshot_preview1", "fd_write", "function")]
    assert info.exports == [("memory", "memory"), ("_start", "function")]
    assert (info.memories, info.functions) == (1, 1)


@given(st.binary(max_size=200))
def test_hostile_18_garbage(data: bytes) -> None:
    assert refusal(data)
    assert refusal(b"\0asm\x01\0\0\0" + data)


def test_hostile_18_every_truncation_of_a_module() -> None:
    whole = wasm(f'(module {FD_WRITE} (memory (export "memory") 1) (data (i32.const 0) "abc") {START})')
    inspect(whole)
    for end in range(len(whole)):
        try:
            info = inspect(whole[:end])
        except InvalidModule:
            continue
        assert info.functions == 1  # cut between sections: whole as far as it goes; the engine judges bodies


def test_hostile_19_precompiled_and_native_files() -> None:
    engine = wasmtime.Engine()
    precompiled = wasmtime.Module(engine, f"(module {START})").serialize()
    assert "ELF" in refusal(bytes(precompiled))
    assert "ELF" in refusal(b"\x7fELF" + bytes(100))
    assert "Windows" in refusal(b"MZ" + bytes(100))
    assert "gzip" in refusal(b"\x1f\x8b" + bytes(100))
    assert ".wat" in refusal(b"(module)")


def test_hostile_20_a_component_is_recognised() -> None:
    said = refusal(wasm("(component)"))
    assert "component" in said
    assert "core module" in said


def test_hostile_21_unknown_imports_are_named_and_escaped() -> None:
    said = refusal(wasm(f'(module (import "env" "do\\1b[31m\\0a" (func)) {START})'))
    assert "env.do" in said
    assert "\x1b" not in said
    assert "\n" not in said
    assert "wasi_snapshot_preview1.fd_teleport" in refusal(
        wasm(f'(module (import "wasi_snapshot_preview1" "fd_teleport" (func)) {START})')
    )
    assert "wasi_unstable.fd_write" in refusal(wasm(f'(module (import "wasi_unstable" "fd_write" (func)) {START})'))


def test_hostile_21_an_import_that_is_no_function() -> None:
    said = refusal(wasm(f'(module (import "env" "table" (table 1 funcref)) (import "env" "g" (global i32)) {START})'))
    assert "env.table" in said
    assert "env.g" in said


def test_hostile_22_without_start_the_exports_are_listed() -> None:
    said = refusal(wasm('(module (memory (export "memory") 1) (func (export "add")))'))
    assert "_start" in said
    assert "memory (memory), add (function)" in said
    assert "nothing" in refusal(wasm("(module)"))
    assert "_start" in refusal(wasm('(module (memory (export "_start") 1))'))


def test_hostile_24_a_million_functions() -> None:
    count = 1_000_000
    module = b"\0asm\x01\0\0\0" + section(1, b"\x01\x60\0\0") + section(3, u32(count) + bytes(count))
    module += section(7, b"\x01\x06_start\0\0") + section(10, u32(count) + b"\x02\0\x0b" * count)
    assert f"at most {MAX_FUNCTIONS}" in refusal(module)


def test_hostile_30_several_memories() -> None:
    assert "4 memories" in refusal(wasm(f"(module (memory 1) (memory 1) (memory 1) (memory 1) {START})"))


def test_hostile_35_threads_are_unsupported_and_said_so() -> None:
    spawn = '(import "wasi" "thread-spawn" (func (param i32) (result i32)))'
    assert "threads" in refusal(wasm(f"(module {spawn} {START})"))
    assert "shared" in refusal(wasm(f"(module (memory 1 2 shared) {START})"))


def test_a_64_bit_memory_is_refused() -> None:
    assert "64-bit" in refusal(wasm(f"(module (memory i64 1) {START})"))


def test_debug_sections_are_dropped_and_names_kept() -> None:
    plain = wasm(f"(module {START} (func $named))")
    custom = section(0, b"\x0b.debug_info" + bytes(1000))
    assert without_debug(plain + custom) == plain
    assert b"named" in without_debug(plain + custom)


@given(st.binary(max_size=200))
def test_garbage_passes_through_where_debug_sections_are_dropped(data: bytes) -> None:
    made = without_debug(data)
    assert made == data or len(made) < len(data)
