"""Zig: `@typeInfo` finds the types, in a root file of its own that imports the user's.

Zig looks at a function only where something refers to it, so the wrapped project's own words are what its author reads,
without those about the root file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from wasmgrid.build.functions import explain
from wasmgrid.build.functions.scan import functions
from wasmgrid.build.functions.wrap import RESERVED, Wanted, beside, followed, template

_UNSUPPORTED = re.compile(r"error: wasmgrid: (parameter|result): ([^\n]{1,500})")
_MISSING = re.compile(r"use of undeclared identifier|has no member named|wasmgrid: no function")
_REFERENCES = re.compile(r"^referenced by:\n(?: {4}[^\n]*\n)*", re.MULTILINE)
_ERROR = re.compile(r"^(?=[^\s:][^:\n]{0,300}:\d+:\d+: error: )", re.MULTILINE)


def wrap(wanted: Wanted) -> Mapping[str, bytes]:
    """The user's file makes the function known after its last line, whether it is `pub` or not."""
    line = f"pub const {RESERVED}offered = {wanted.name};"
    file = wanted.entry.rpartition("/")[2]
    root = template("entry.zig").decode() + (
        f"const function = @import({json.dumps(file)}).{RESERVED}offered;\n"
        f"const offered_name = {json.dumps(wanted.name)};\n"
        f"const names = [_][]const u8{{{', '.join(map(json.dumps, _names(wanted)))}}};\n"
    )
    return {
        **wanted.files,
        wanted.entry: followed(wanted.files[wanted.entry], line),
        beside(wanted.entry, "entry.zig"): root.encode(),
    }


def own(said: str) -> str:
    """The errors that are in the user's own files."""
    errors = _ERROR.split(_REFERENCES.sub("", said))
    return "".join(each for each in errors if re.match(r"[^\s:][^:\n]*:\d", each) and RESERVED not in each)


def why(wanted: Wanted, said: str) -> str:
    """Why the function of a file that is itself in order cannot be called."""
    unsupported = _UNSUPPORTED.search(said)
    if unsupported is not None:
        return explain.unsupported("zig", wanted, unsupported[2], result=unsupported[1] == "result")
    if _MISSING.search(said):
        return explain.missing("zig", wanted)
    return explain.unclear("zig", wanted)


def _names(wanted: Wanted) -> list[str]:
    """The parameters' names, where the text tells them plainly."""
    found = [each for each in functions("zig", wanted.files[wanted.entry]) if each.name == wanted.name]
    names = [part.partition(":")[0].strip() for part in found[0].parameters] if found else []
    return names if all(re.fullmatch(r"\w{1,100}", name) for name in names) else []
