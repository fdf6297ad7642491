"""wasm3, an interpreter, through pywasm3: it brings no WASI, so the calls that the three programs make are here."""

from __future__ import annotations

import struct
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import wasm3

from benchmarks.runtimes.probes.report import report

_STACK_BYTES = 1 << 20
_BAD_DESCRIPTOR = 8


class Exited(Exception):
    """The guest left through proc_exit."""


class Wasi:
    """What a program that reads its arguments and prints needs of preview 1."""

    def __init__(self, args: list[str]) -> None:
        self.memory: Callable[[], memoryview] = lambda: memoryview(b"")
        self.stdout = bytearray()
        self._args = [word.encode() + b"\0" for word in ["main.wasm", *args]]

    def link(self, module: Any) -> None:
        """Offer every call that is here; what a module does not import is passed over."""
        for name, signature in _SIGNATURES.items():
            try:
                module.link_function("wasi_snapshot_preview1", name, signature, getattr(self, name))
            except RuntimeError as error:
                if "function lookup failed" not in str(error):
                    raise

    def args_sizes_get(self, count: int, size: int) -> int:
        self._put("<I", count, len(self._args))
        self._put("<I", size, sum(map(len, self._args)))
        return 0

    def args_get(self, pointers: int, at: int) -> int:
        for number, word in enumerate(self._args):
            self._put("<I", pointers + 4 * number, at)
            self.memory()[at : at + len(word)] = word
            at += len(word)
        return 0

    def environ_sizes_get(self, count: int, size: int) -> int:
        self._put("<I", count, 0)
        self._put("<I", size, 0)
        return 0

    def environ_get(self, _pointers: int, _at: int) -> int:
        return 0

    def fd_write(self, descriptor: int, vectors: int, count: int, written: int) -> int:
        memory, total = self.memory(), 0
        for number in range(count):
            at, size = struct.unpack_from("<II", memory, vectors + 8 * number)
            if descriptor == 1:
                self.stdout += memory[at : at + size]
            total += size
        self._put("<I", written, total)
        return 0

    def fd_fdstat_get(self, descriptor: int, at: int) -> int:
        self.memory()[at : at + 24] = struct.pack("<BxHxxxxQQ", 2, 0, (1 << 64) - 1, (1 << 64) - 1)
        return 0 if descriptor <= 2 else _BAD_DESCRIPTOR

    def fd_fdstat_set_flags(self, _descriptor: int, _flags: int) -> int:
        return 0

    def fd_prestat_get(self, _descriptor: int, _at: int) -> int:
        return _BAD_DESCRIPTOR

    def fd_prestat_dir_name(self, _descriptor: int, _at: int, _size: int) -> int:
        return _BAD_DESCRIPTOR

    def fd_close(self, _descriptor: int) -> int:
        return 0

    def fd_seek(self, _descriptor: int, _offset: int, _whence: int, _at: int) -> int:
        return 70  # a pipe

    def clock_time_get(self, _clock: int, _precision: int, at: int) -> int:
        self._put("<Q", at, time.monotonic_ns())
        return 0

    def random_get(self, at: int, size: int) -> int:
        self.memory()[at : at + size] = bytes(size)
        return 0

    def sched_yield(self) -> int:
        return 0

    def poll_oneoff(self, _subscriptions: int, _events: int, _count: int, at: int) -> int:
        self._put("<I", at, 0)
        return 0

    def proc_exit(self, code: int) -> None:
        raise Exited(code)

    def _put(self, form: str, at: int, value: int) -> None:
        struct.pack_into(form, self.memory(), at, value)


_SIGNATURES = {
    "args_sizes_get": "i(**)",
    "args_get": "i(**)",
    "environ_sizes_get": "i(**)",
    "environ_get": "i(**)",
    "fd_write": "i(iii*)",
    "fd_fdstat_get": "i(i*)",
    "fd_fdstat_set_flags": "i(ii)",
    "fd_prestat_get": "i(i*)",
    "fd_prestat_dir_name": "i(i*i)",
    "fd_close": "i(i)",
    "fd_seek": "i(iIi*)",
    "clock_time_get": "i(iI*)",
    "random_get": "i(*i)",
    "sched_yield": "i()",
    "poll_oneoff": "i(**i*)",
    "proc_exit": "v(i)",
}


def main() -> None:
    """Measure."""
    wasm = Path(sys.argv[1]).read_bytes()
    environment = wasm3.Environment()

    def run(args: list[str]) -> bytes:
        runtime = environment.new_runtime(_STACK_BYTES)
        module = environment.parse_module(wasm)
        runtime.load(module)
        wasi = Wasi(args)
        wasi.memory = lambda: runtime.get_memory(0)
        wasi.link(module)
        try:
            runtime.find_function("_start")()
        except (Exited, RuntimeError) as error:
            if not isinstance(error, Exited) and not wasi.stdout:
                raise
        return bytes(wasi.stdout)

    report(f"wasm3 {wasm3.M3_VERSION} in pywasm3 {version('pywasm3')}", run)


if __name__ == "__main__":
    main()
