"""C: clang with a WASI libc, setjmp, signals and mmap emulated."""

from __future__ import annotations

from wasmgrid.build.functions import c as functions
from wasmgrid.build.toolchains import cfamily
from wasmgrid.build.toolchains.language import Calls, Flag, Language, pattern
from wasmgrid.build.toolchains.sysroot import SYSROOT

C = Language(
    name="c",
    suffixes=cfamily.C_SUFFIXES,
    looks_like=pattern(r"^[ \t]*#[ \t]*include[ \t]*[<\"][^\s>\"]{1,200}\.h[>\"]|\bint\s{1,9}main\s{0,9}\("),
    main=pattern(cfamily.HAS_MAIN),
    flags=(
        Flag(
            pattern=r"-std=(c|gnu|iso9899:)(89|90|99|9x|11|1x|17|18|2x|23|2y|1990|1999|2011|2017|2018)",
            shown="-std=c17",
        ),
        *cfamily.FLAGS,
    ),
    components=(SYSROOT,),
    compile=cfamily.compile_family,
    calls=Calls(
        wrap=functions.wrap, check=cfamily.check_family, why=functions.why, typed=functions.typed, ask=cfamily.ask_types
    ),
    hello={"hello.c": '#include <stdio.h>\nint main(void) { return puts("hello") < 0; }\n'},
)
