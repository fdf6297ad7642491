"""C++: libc++ with exceptions, iostream, fstream, filesystem and regex."""

from __future__ import annotations

from wasmgrid.build.functions import cpp as functions
from wasmgrid.build.toolchains import cfamily
from wasmgrid.build.toolchains.language import Calls, Flag, Language, pattern
from wasmgrid.build.toolchains.sysroot import SYSROOT

_HELLO = """\
#include <iostream>
#include <stdexcept>
int main() {
    try {
        throw std::runtime_error("hello");
    } catch (const std::exception& error) {
        std::cout << error.what() << std::endl;
    }
}
"""

CPP = Language(
    name="cpp",
    suffixes=cfamily.CPP_SUFFIXES,
    aliases=("c++", "cxx", "cc"),
    also=cfamily.C_SUFFIXES,
    looks_like=pattern(r"^[ \t]*#[ \t]*include[ \t]*<[a-z_]+>|\busing +namespace\b|\bstd::\w|^[ \t]*template *<"),
    main=pattern(cfamily.HAS_MAIN),
    flags=(
        Flag(pattern=r"-std=(c|gnu)\+\+(98|03|0x|11|1y|14|1z|17|2a|20|2b|23|2c|26)", shown="-std=c++20"),
        *cfamily.FLAGS,
    ),
    components=(SYSROOT,),
    compile=cfamily.compile_family,
    calls=Calls(wrap=functions.wrap, check=cfamily.check_family, why=functions.why),
    hello={"hello.cpp": _HELLO},
)
