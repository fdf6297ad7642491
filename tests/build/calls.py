"""A host for modules that offer a function: what the runner does, at its plainest (docs/functions.md)."""

from __future__ import annotations

from typing import Any, NamedTuple

import wasmtime


class Program(NamedTuple):
    """How a module ended that ran as a program."""

    exit_code: int
    stdout: str
    stderr: str


class Instance:
    """One instance of a module, warm between calls."""

    def __init__(self, module: bytes, argv: tuple[str, ...] = ()) -> None:
        engine = wasmtime.Engine()
        linker = wasmtime.Linker(engine)
        linker.define_wasi()
        self.store = wasmtime.Store(engine)
        self._said: dict[str, list[bytes]] = {"stdout": [], "stderr": []}
        wasi = wasmtime.WasiConfig()
        wasi.argv = ["program", *argv]
        wasi.stdout_custom = self._said["stdout"].append
        wasi.stderr_custom = self._said["stderr"].append
        self.store.set_wasi(wasi)
        exports: Any = linker.instantiate(self.store, wasmtime.Module(engine, module)).exports(self.store)
        self.exports = exports
        self.memory: Any = exports["memory"]
        if "_initialize" in self.names:
            exports["_initialize"](self.store)

    @property
    def names(self) -> list[str]:
        """What it exports."""
        return list(self.exports)

    def call(self, call: str | bytes) -> str:
        """The answer to a call, with its mark in front."""
        return self.raw(call.encode() if isinstance(call, str) else call).decode()

    def raw(self, call: bytes) -> bytes:
        """The answer, as bytes."""
        at = self.exports["wasmgrid_alloc"](self.store, len(call)) & 0xFFFFFFFF
        assert at, "no memory for the call"
        self.memory.write(self.store, call, at)
        return self._read(self.exports["wasmgrid_call"](self.store, at, len(call)))

    def signature(self) -> str:
        """Such as `add(a: i32, b: i32) -> i32`."""
        return self._read(self.exports["wasmgrid_signature"](self.store)).decode()

    def pages(self) -> int:
        """Its memory, in pages of 64 KiB."""
        return int(self.memory.size(self.store))

    def said(self, stream: str) -> str:
        """What it wrote on stdout or stderr so far."""
        return b"".join(self._said[stream]).decode()

    def _read(self, packed: int) -> bytes:
        at, size = packed >> 32 & 0xFFFFFFFF, packed & 0xFFFFFFFF
        return bytes(self.memory.read(self.store, at, at + size))


def run(module: bytes, *argv: str) -> Program:
    """Run a module as a program with these words."""
    instance = Instance(module, argv)
    try:
        instance.exports["_start"](instance.store)
        code = 0
    except wasmtime.ExitTrap as ended:
        code = int(ended.code)
    return Program(code, instance.said("stdout"), instance.said("stderr"))
