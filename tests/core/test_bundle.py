"""Bundles: the same program is the same bytes, and only what `pack` makes is one."""

from __future__ import annotations

import pytest
import wasmtime

from wasmgrid.build.wasm import inspect
from wasmgrid.core.bundle import Bundle, is_bundle, pack, unpack
from wasmgrid.core.errors import InvalidModule, WasmgridError
from wasmgrid.core.interpreters import PYTHON

BUNDLE = Bundle(
    interpreter=PYTHON.sha256, argv=["python", "x"], serve_argv=["python"], files={"b.py": b"1", "a/c": b""}
)


def test_a_bundle_comes_back_as_it_went() -> None:
    module = pack(BUNDLE)
    assert is_bundle(module[:1024])
    assert unpack(module) == BUNDLE
    assert pack(Bundle(**{name: getattr(BUNDLE, name) for name in BUNDLE.__struct_fields__})) == module


def test_it_is_a_module_that_says_what_it_lacks() -> None:
    module = wasmtime.Module(wasmtime.Engine(), pack(BUNDLE))
    assert [(one.module, one.name) for one in module.imports] == [(f"wasmgrid:python@3.12.0/{PYTHON.sha256}", "_start")]
    assert {one.name for one in module.exports} == {"_start", "wasmgrid_call"}
    assert inspect(pack(BUNDLE)).kind == "core"
    assert inspect(pack(BUNDLE), "any").kind == "core"


@pytest.mark.parametrize(
    "damage",
    [
        lambda module: module[:-1],
        lambda module: module + b"\0\0",
        lambda module: module.replace(b"b.py", b"/.py"),
        lambda module: module.replace(PYTHON.sha256.encode(), b"0" * 64),
        lambda module: module[:-20] + bytes(20),
    ],
)
def test_a_damaged_one_is_refused(damage: object) -> None:
    damaged = damage(pack(BUNDLE))  # type: ignore[operator]
    with pytest.raises(WasmgridError):
        unpack(damaged)
    with pytest.raises(WasmgridError):
        inspect(damaged)


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../b", "a\0b", ""])
def test_paths_that_lead_out_are_refused(path: str) -> None:
    made = pack(Bundle(interpreter=PYTHON.sha256, argv=[], serve_argv=[], files={path: b"", "b": b""}))
    with pytest.raises(WasmgridError):
        unpack(made)


def test_a_file_in_a_file_is_refused() -> None:
    made = pack(Bundle(interpreter=PYTHON.sha256, argv=[], serve_argv=[], files={"a": b"", "a/b": b""}))
    with pytest.raises(InvalidModule, match="lies in a file"):
        unpack(made)


def test_no_other_blob_can_be_named_as_an_interpreter() -> None:
    with pytest.raises(InvalidModule, match="does not know"):
        pack(Bundle(interpreter="0" * 64, argv=[], serve_argv=[], files={}))


@pytest.mark.parametrize("module", [b"", b"\0asm\x01\0\0\0", b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0"])
def test_other_modules_are_none(module: bytes) -> None:
    assert not is_bundle(module)
