"""The allow-list of build flags."""

from __future__ import annotations

import pytest

from wasmgrid.build.toolchains import LANGUAGES, check_flags
from wasmgrid.core.errors import FlagRefused


@pytest.mark.parametrize(
    ("language", "flags"),
    [
        ("c", ["-std=c17", "-O3", "-DNAME", "-DNAME=a b; $(c)", "-Wall", "-Wno-unused", "-Iinclude/sub", "-lm"]),
        ("cpp", ["-std=c++20", "-std=gnu++23", "-Os", "-UNDEBUG", "-fno-exceptions"]),
        ("rust", ["--edition=2024", "-Copt-level=z", '--cfg=feature="x"', "--features=a,b/c", "--bin=tool"]),
        ("go", ["-tags=a,b", "-ldflags=-X main.version=1.2.3"]),
        ("zig", ["-OReleaseFast", "-O ReleaseSmall", "-fstrip"]),
    ],
)
def test_useful_flags_are_allowed(language: str, flags: list[str]) -> None:
    check_flags(language, flags)


HOSTILE = [
    "-o", "-o/x", "-o /x", "@file", "-fplugin=/x.so", "-fplugin", "-Xclang", "-load", "-include", "-include/etc/passwd",
    "-I/etc", "-I../x", "-Isub/../../etc", "-Wl,--export-all", "-Wp,-MD,/x", "-Wa,x", "-B/x", "-isystem/etc",
    "-specs=x", "-wrapper", "--sysroot=/", "-x", "-xc", "-E", "-save-temps", "-MF/x", "-ftime-trace=/x",
    "-Clinker=/bin/sh", "-Clink-arg=/x", "-Zunstable", "--extern=a=/x", "-L/x", "--emit=link=/x", "--config=x",
    "--manifest-path=/x", "-toolexec=/bin/sh", "-exec", "-overlay=/x", "-modfile=/x", "-mod=mod", "-ldflags=-extld=sh",
    "-gcflags=-x", "-femit-bin=/x", "--cache-dir=/x", "-cflags", "--pkg-begin", "", "-", "--", "file.c", "-DA\nB",
    "-O2\n", "-tags=a\x00",
]  # fmt: skip


@pytest.mark.parametrize("flag", HOSTILE)
def test_hostile_12_compiler_options_outside_the_allow_list(flag: str) -> None:
    for language in LANGUAGES:
        with pytest.raises(FlagRefused) as refused:
            check_flags(language, [flag])
        assert refused.value.field == "source.build_flags"
        assert "allowed" in (refused.value.hint or "") or "no build flags" in (refused.value.hint or "")
