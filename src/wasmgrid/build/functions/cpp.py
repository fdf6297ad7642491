"""C++: templates over the function's type, before the user's text; after it, one line that names the function."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from wasmgrid.build.functions import explain
from wasmgrid.build.functions.scan import functions
from wasmgrid.build.functions.wrap import Wanted, beside, followed, template

_UNSUPPORTED = re.compile(
    r"in instantiation of template class 'wasmgrid::(parameter|result)<(.{1,500})>' requested here"
)


def wrap(wanted: Wanted) -> Mapping[str, bytes]:
    """The compiler is told to include `wasmgrid_entry.hpp` first."""
    offer = beside(wanted.entry, "offer.hpp")
    return {
        **wanted.files,
        **{beside(wanted.entry, name): template(name) for name in ("call.c", "call.h", "entry.hpp")},
        offer: _offer(wanted).encode(),
        wanted.entry: followed(wanted.files[wanted.entry], f'#include "{offer.rpartition("/")[2]}"'),
    }


def why(wanted: Wanted, said: str) -> str:
    """Why the function of a file that is itself in order cannot be called."""
    unsupported = _UNSUPPORTED.search(said)
    if unsupported is not None:
        return explain.unsupported("cpp", wanted, unsupported[2], result=unsupported[1] == "result")
    if re.search(r"use of undeclared identifier|no member named|no type named", said):
        return explain.missing("cpp", wanted)
    return explain.unclear("cpp", wanted)


def _offer(wanted: Wanted) -> str:
    names = _names(wanted)
    listed = ", ".join([*map(json.dumps, names), "0"])
    function = f"&::{wanted.name}"
    return "\n".join(
        [
            "#pragma clang system_header",
            'extern "C" { extern const char *const wasmgrid_names[];',
            f"const char *const wasmgrid_names[] = {{{listed}}};",
            f"extern const unsigned wasmgrid_named; const unsigned wasmgrid_named = {len(names)};",
            "#ifdef _LIBCPP_IOSTREAM",
            "#define WASMGRID_FLUSH ::std::cout.flush();",
            "#else",
            "#define WASMGRID_FLUSH",
            "#endif",
            f"void wasmgrid_perform(void) {{ wasmgrid::perform({function}); WASMGRID_FLUSH }}",
            "const char *wasmgrid_describe(void) {",
            f"return wasmgrid::described({function}, {json.dumps(wanted.name)}, wasmgrid_names, {len(names)}); }} }}",
            "",
        ]
    )


def _names(wanted: Wanted) -> list[str]:
    """The parameters' names, where the text tells them plainly."""
    last = wanted.name.rpartition("::")[2]
    found = [each for each in functions("cpp", wanted.files[wanted.entry]) if each.name == last]
    parts = [part.partition("=")[0].strip() for part in found[0].parameters] if len(found) == 1 else []
    names = [match[1] for part in parts if (match := re.search(r"[\w>&*\]]\s*[\s&*]([A-Za-z_]\w*)$", part))]
    return names if len(names) == len(parts) else []
