"""A read-only C and C++ sysroot out of the wheel `ziglang`, which ships the sources of all of it.

    include/          libc's headers, c++/v1        clang/include/    the compiler's own
    lib/              libc.a (with what emulates mmap, signals, ...), crt1, libc++, libc++abi, libunwind, libsetjmp

Zig builds libc by itself into a cache, from where it is taken. Its libc++ is built without exceptions, so libc++ is
built here, with wasm exceptions in their standard form. Bound to the layout of the pinned wheel.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from wasmgrid.build.installation import Installation

_EMULATED = ("mman", "signal", "process-clocks", "getpid")
_EMPTY = ("m", "rt", "pthread", "dl", "util", "crypt", "resolv")  # part of libc.a, but named by many makefiles
_EXCEPTIONS = ["-mexception-handling", "-fwasm-exceptions", "-mllvm", "-wasm-use-legacy-eh=false"]
_SJLJ = ["-mllvm", "-wasm-enable-sjlj"]

# What libc++ is on this target: one thread, musl, no time zones.
_SITE = {
    "ABI_VERSION": 2, "ABI_NAMESPACE": "__2", "ABI_FORCE_ITANIUM": 0, "ABI_FORCE_MICROSOFT": 0, "HAS_THREADS": 0,
    "HAS_MONOTONIC_CLOCK": 1, "HAS_TERMINAL": 0, "HAS_MUSL_LIBC": 1, "HAS_THREAD_API_PTHREAD": 0,
    "HAS_THREAD_API_EXTERNAL": 0, "HAS_THREAD_API_WIN32": 0, "HAS_THREAD_API_C11": 0,
    "HAS_VENDOR_AVAILABILITY_ANNOTATIONS": 0, "HAS_FILESYSTEM": 1, "HAS_RANDOM_DEVICE": 1, "HAS_LOCALIZATION": 1,
    "HAS_UNICODE": 1, "HAS_WIDE_CHARACTERS": 1, "HAS_TIME_ZONE_DATABASE": 0, "INSTRUMENTED_WITH_ASAN": 0,
    "HARDENING_MODE_DEFAULT": 2, "ASSERTION_SEMANTIC_DEFAULT": 2, "LIBC_PICOLIBC": 0, "LIBC_NEWLIB": 0,
}  # fmt: skip
_ZIG_PATCH = "/* zig patch: instead of including __config_site, zig adds -D flags when compiling */"

_NEEDS_THREADS = {
    "barrier.cpp", "condition_variable.cpp", "condition_variable_destructor.cpp", "future.cpp", "mutex.cpp",
    "shared_mutex.cpp", "thread.cpp", "mutex_destructor.cpp", "atomic.cpp",
}  # fmt: skip
_NOT_BUILT = _NEEDS_THREADS | {"new.cpp", "int128_builtins.cpp", "operations.cpp"}  # elsewhere, or built apart below
_CXX = ["-std=c++23", "-D_LIBCPP_BUILDING_LIBRARY", "-DNDEBUG"]

# Tags that compiled code throws through; one object of the program must define each.
_TAG = '__asm__(".globl {0}\\n.tagtype {0} i32\\n{0}:\\n");\n'


def make_sysroot(into: Installation) -> None:
    """Build the sysroot in `into.root`: a minute of two cores, 35 MB."""
    zig = into.tool("zig") / "ziglang"
    (into.root / "lib").mkdir(exist_ok=True)
    into.phase("C library: compiling", 0.0)
    into.step("libc", lambda: _libc(into, zig))
    into.step("headers", lambda: _headers(into, zig / "lib"))
    into.step("libcxx", lambda: _Libraries(into, zig).build())


def _libc(into: Installation, zig: Path) -> None:
    cache, lib = into.scratch / "zig-cache", into.root / "lib"
    program, made = into.scratch / "empty.c", into.scratch / "empty.wasm"
    program.write_text("int main(void) { return 0; }\n")
    env = {"ZIG_GLOBAL_CACHE_DIR": str(cache), "ZIG_LOCAL_CACHE_DIR": str(cache)}
    for kind in ([f"-lwasi-emulated-{name}" for name in _EMULATED], ["-mexec-model=reactor", "-Wl,--no-entry"]):
        into.run([zig / "zig", "cc", "-target", "wasm32-wasi", "-O2", *kind, program, "-o", made], env=env)
    parts = [_oldest(cache, name) for name in ("libc.a", "libzigc.a")]
    script = "".join([f"create {lib}/libc.a\n", *(f"addlib {part}\n" for part in parts), "save\nend\n"])
    into.run([zig / "zig", "ar", "-M"], text=script)
    for name in ("crt1-command.o", "crt1-reactor.o"):
        shutil.copy(_oldest(cache, name), lib / name)
    shutil.copy(_oldest(cache, "libcompiler_rt.a"), lib / "libclang_rt.builtins-wasm32.a")
    for name in _EMPTY:
        into.run([zig / "zig", "ar", "qc", lib / f"lib{name}.a"])


def _oldest(cache: Path, name: str) -> Path:
    """The first run's: the second builds parts anew for a reactor."""
    return min(cache.rglob(name), key=lambda path: path.stat().st_mtime)


def _headers(into: Installation, lib: Path) -> None:
    include = into.root / "include"
    cxx = include / "c++" / "v1"
    for source, target in (
        (lib / "libc/include/generic-musl", include),
        (lib / "libc/include/wasm-wasi-musl", include),
        (lib / "libunwind/include", include),
        (lib / "libcxx/include", cxx),
        (lib / "libcxxabi/include", cxx),
        (lib / "include", into.root / "clang" / "include"),
    ):
        shutil.copytree(source, target, dirs_exist_ok=True)
    defines = [f"#define _LIBCPP_{name} {value}\n" for name, value in _SITE.items()]
    site = ["#ifndef _LIBCPP___CONFIG_SITE\n#define _LIBCPP___CONFIG_SITE\n", *defines]
    (cxx / "__config_site").write_text("".join([*site, "#define _LIBCPP_PSTL_BACKEND_SERIAL\n#endif\n"]))
    for path in [cxx / "__config", *(cxx / "__configuration").glob("*.h")]:
        path.write_text(path.read_text().replace(_ZIG_PATCH, "#include <__config_site>"))


class _Libraries:
    """libc++ and what it stands on, compiled file by file on all cores."""

    def __init__(self, into: Installation, zig: Path) -> None:
        self._into = into
        self._zig = zig / "zig"
        self._lib = zig / "lib"
        self._include = into.root / "include"

    def build(self) -> None:
        lib = self._lib
        cxx = lib / "libcxx" / "src"
        private: list[str | Path] = [
            "-I",
            cxx,
            "-I",
            lib / "libcxx" / "libc",
            "-I",
            cxx / "include",
            "-I",
            cxx / "filesystem",
        ]
        hidden = ["-fvisibility=hidden", "-fvisibility-inlines-hidden"]
        building = ["-DLIBCXX_BUILDING_LIBCXXABI", "-D_LIBCPP_REMOVE_TRANSITIVE_INCLUDES"]
        sources = [path for part in (".", "filesystem", "ryu") for path in sorted((cxx / part).glob("*.cpp"))]
        wanted = [path for path in sources if path.name not in _NOT_BUILT]
        self._archive(
            "c++", [*wanted, self._filesystem_operations(cxx)], [*_CXX, *hidden, *building, *private], (0.4, 0.85)
        )

        abi = [
            path
            for path in sorted((lib / "libcxxabi" / "src").glob("*.cpp"))
            if path.name not in {"cxa_noexception.cpp", "cxa_thread_atexit.cpp"}
        ]
        flags = ["-D_LIBCXXABI_BUILDING_LIBRARY", "-D_LIBCXXABI_HAS_NO_THREADS"]
        flags += ["-D_LIBCPP_ENABLE_CXX17_REMOVED_UNEXPECTED_FUNCTIONS"]
        self._archive("c++abi", abi, [*_CXX, *flags, "-I", cxx, "-I", lib / "libcxxabi" / "include"], (0.85, 0.98))

        unwind: list[str | Path] = [
            "-DNDEBUG",
            "-D_LIBUNWIND_HAS_NO_THREADS",
            "-D_LIBUNWIND_HIDE_SYMBOLS",
            "-I",
            lib / "libunwind/include",
        ]
        self._archive(
            "unwind", [lib / "libunwind/src/Unwind-wasm.c", self._tag("__cpp_exception")], unwind, (0.98, 0.99)
        )
        runtime = lib / "libc/wasi/libc-top-half/musl/src/setjmp/wasm32/rt.c"
        self._archive("setjmp", [runtime, self._tag("__c_longjmp")], _SJLJ, (0.99, 1.0))

    def _filesystem_operations(self, cxx: Path) -> Path:
        """Its musl means Linux; ours has no sendfile."""
        text = (cxx / "filesystem" / "operations.cpp").read_text()
        text = text.replace("|| _LIBCPP_HAS_MUSL_LIBC", "").replace("__has_include(<sys/sendfile.h>)", "0")
        path = self._into.scratch / "operations_wasi.cpp"
        path.write_text(text)
        return path

    def _tag(self, name: str) -> Path:
        path = self._into.scratch / f"tag{name}.c"
        path.write_text(_TAG.format(name))
        return path

    def _archive(
        self, name: str, sources: Sequence[Path], flags: Sequence[str | Path], span: tuple[float, float]
    ) -> None:
        made = [self._into.scratch / f"{name}_{path.parent.name}_{path.stem}.o" for path in sources]
        commands = [self._compile(source, flags, target) for source, target in zip(sources, made, strict=True)]
        self._into.run_all(commands, f"lib{name}: compiling", start=span[0], end=span[1])
        self._into.run([self._zig, "ar", "qc", self._into.root / "lib" / f"lib{name}.a", *made])

    def _compile(self, source: Path, flags: Sequence[str | Path], target: Path) -> list[str | Path]:
        cpp = source.suffix == ".cpp"
        language: list[str | Path] = (
            ["-nostdinc++", "-isystem", self._include / "c++" / "v1", "-x", "c++"] if cpp else []
        )
        return [
            self._zig,
            *("clang", "-c", "--target=wasm32-wasip1", "-nostdinc", *language),
            *("-isystem", self._into.root / "clang" / "include", "-isystem", self._include),
            *("-O2", "-D_WASI_EMULATED_MMAN", "-D_WASI_EMULATED_SIGNAL", "-ffunction-sections", "-fdata-sections"),
            *(*_EXCEPTIONS, *flags, source, "-o", target),
        ]
