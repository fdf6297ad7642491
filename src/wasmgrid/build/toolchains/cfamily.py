"""What C and C++ share: how clang and wasm-ld out of the wheel `ziglang` are called with our own read-only sysroot.

Neither needs a cache or writes anywhere but into the work directory.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from wasmgrid.build.functions import c as functions
from wasmgrid.build.functions.wrap import RESERVED, beside
from wasmgrid.build.toolchains.language import Command, Flag, Unit

C_SUFFIXES = (".c",)
CPP_SUFFIXES = (".cc", ".cpp", ".cxx", ".c++", ".C", ".cp")

HAS_MAIN = r"^[^\n/#*]{0,200}\b(?:int|void|auto)\s{1,9}main\s{0,9}\("

# Values of -D are one argument each, never split and never read as an option: anything printable may stand there.
FLAGS = (
    Flag(pattern=r"-O[0123sgz]?", shown="-O0 to -O3, -Os, -Oz"),
    Flag(pattern=r"-D[A-Za-z_]\w*(=[^\x00-\x1f\x7f]*)?", shown="-DNAME[=VALUE]"),
    Flag(pattern=r"-U[A-Za-z_]\w*", shown="-UNAME"),
    Flag(pattern=r"-W[a-z0-9][a-z0-9+=-]*", shown="-Wall, -Wextra, -Wno-..."),
    Flag(
        pattern=r"-f(no-)?(strict-aliasing|fast-math|wrapv|signed-char|exceptions|rtti)",
        shown="-fwrapv, -ffast-math ...",
    ),
    Flag(pattern=r"-I(?!.*(^|/)\.\.(/|$))[\w][\w./-]*", shown="-IDIRECTORY (of the project)"),
    Flag(pattern=r"-l(m|c|rt|pthread|dl|util)", shown="-lm"),
    Flag(pattern=r"-msimd128", shown="-msimd128"),
)

_OLD_CPP = {f"-std={kind}++{year}" for kind in ("c", "gnu") for year in ("98", "03", "0x", "11", "1y", "14", "1z")}
_TEMPLATES_NEED = "-std=gnu++17"  # what goes before a C++ file whose function is called

_EMULATED = ("SIGNAL", "MMAN", "PROCESS_CLOCKS", "GETPID")
_EXCEPTIONS = ["-mexception-handling", "-mllvm", "-wasm-use-legacy-eh=false", "-mllvm", "-wasm-enable-sjlj"]
_LIBRARIES = ["-lc++", "-lc++abi", "-lunwind", "-lsetjmp", "-lc", "-lclang_rt.builtins-wasm32"]


def compile_family(unit: Unit) -> list[Command]:
    """One clang run per source file beside or below the entry, then one link."""
    sources = _sources(unit)
    objects = [f"{unit.out}/{number}_{path.rpartition('/')[2]}.o" for number, path in enumerate(sources)]
    compiles = [_clang(unit, source, made) for source, made in zip(sources, objects, strict=True)]
    return [*compiles, _link(unit, objects)]


def check_family(unit: Unit) -> list[Command]:
    """Judge every file that a program would be made of, and make nothing."""
    return [_clang(unit, source) for source in _sources(unit)]


def ask_types(unit: Unit) -> list[Command]:
    """Have the declaration shown that `functions.c.typed` wrote."""
    dump = ["-w", "-Xclang", "-ast-dump=json", "-Xclang", f"-ast-dump-filter={functions.TYPED}"]
    return [_clang(unit, unit.entry, extra=dump)]


def _sources(unit: Unit) -> list[str]:
    """The entry and every other C or C++ file in its directory and below, but for those with a main of their own."""
    root = unit.entry.rpartition("/")[0]
    beside = [
        path
        for path in sorted(unit.files)
        if path != unit.entry
        and path.endswith(C_SUFFIXES + CPP_SUFFIXES)
        and (not root or path.startswith(f"{root}/"))
        and not re.search(HAS_MAIN, unit.texts[path].decode("utf-8", "replace"), re.MULTILINE)
    ]
    return [unit.entry, *beside]


def _clang(unit: Unit, source: str, made: str | None = None, *, extra: Sequence[str] = ()) -> Command:
    """Compile `source` into the object `made`, or only look at it. What is generated gets none of the user's flags."""
    sysroot = unit.tools["sysroot"]
    cpp = source.endswith(CPP_SUFFIXES)
    language = ["-nostdinc++", "-isystem", f"{sysroot}/include/c++/v1", "-fwasm-exceptions"] if cpp else []
    flags = [flag for flag in unit.flags if _fits(flag, cpp=cpp) and not flag.startswith("-l")]
    if source.rpartition("/")[2].startswith(RESERVED):
        flags = []
    elif unit.function is not None and source == unit.entry and cpp:
        flags = [_TEMPLATES_NEED if flag in _OLD_CPP else flag for flag in flags]
        flags += ["-include", beside(unit.entry, "entry.hpp")]
    return Command(
        argv=[
            f"{unit.tools['zig']}/ziglang/zig",
            "clang",
            "--target=wasm32-wasip1",
            "-nostdinc",
            *language,
            *("-isystem", f"{sysroot}/clang/include", "-isystem", f"{sysroot}/include"),
            *(f"-D_WASI_EMULATED_{name}" for name in _EMULATED),
            *_EXCEPTIONS,
            *("-I", ".", "-O2", *flags),
            *extra,
            *(["-fsyntax-only", "./" + source] if made is None else ["-c", "./" + source, "-o", made]),
        ]
    )


def _fits(flag: str, *, cpp: bool) -> bool:
    """In a program of both languages each file gets the -std= of its own."""
    return not flag.startswith("-std=") or ("++" in flag) == cpp


def _link(unit: Unit, objects: list[str]) -> Command:
    library = f"{unit.tools['sysroot']}/lib"
    return Command(
        argv=[
            f"{unit.tools['zig']}/ziglang/zig",
            "wasm-ld",
            *("--gc-sections", "--strip-debug", "-z", "stack-size=1048576", "--stack-first"),
            f"-L{library}",
            *(
                [f"{library}/crt1-command.o"] if unit.function is None else ["--no-entry"]
            ),  # the entry has its own start
            *objects,
            *_LIBRARIES,
            *("-o", unit.module),
        ]
    )
