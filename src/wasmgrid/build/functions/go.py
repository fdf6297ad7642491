"""Go: reflect finds the types when the module starts; a generic declaration refuses unsupported ones when it is built.

The module is a reactor: Go gives one either a start as a program or functions to call, so it has no `_start`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace

from wasmgrid.build.functions import explain
from wasmgrid.build.functions.scan import Found, functions
from wasmgrid.build.functions.wrap import RESERVED, Wanted, beside, template

HAS_MAIN = r"^func main\(\)"
_MOST = 64
_UNSUPPORTED = re.compile(r"(?:\w+ \(type )?([^\s()]{1,300})\)? does not satisfy wasmgrid(Parameter|Result)")
_ERROR = re.compile(r"^(?=[^\s#])", re.MULTILINE)


def wrap(wanted: Wanted) -> Mapping[str, bytes]:
    """One more file in the package."""
    texts = [wanted.files[path] for path in _package(wanted)]
    wanted = _of_file(wanted)
    names, checks = _parameters(wanted)
    made = [
        template("entry.go").decode(),
        f"const wasmgridName = {json.dumps(wanted.name)}",
        f"var wasmgridNames = []string{{{', '.join(map(json.dumps, names))}}}",
        f"var wasmgridOffered = {wanted.name}",
        checks,
    ]
    if not any(re.search(HAS_MAIN, text.decode("utf-8", "replace"), re.MULTILINE) for text in texts):
        made.append("func main() {}")
    return {**wanted.files, beside(wanted.entry, "entry.go"): "\n".join([*made, ""]).encode()}


def own(said: str) -> str:
    """The errors that are in the user's own files."""
    errors = [each for each in _ERROR.split(said) if re.match(r"[^\s#][^:\n]*:\d", each)]
    return "".join(each for each in errors if not each.partition(":")[0].rpartition("/")[2].startswith(RESERVED))


def why(wanted: Wanted, said: str) -> str:
    """Why the function of a file that is itself in order cannot be called."""
    wanted = _of_file(wanted)
    unsupported = _UNSUPPORTED.search(said)
    if unsupported is not None:
        type_name = unsupported[1].removeprefix("main.")
        return explain.unsupported("go", wanted, type_name, result=unsupported[2] == "Result")
    if f"undefined: {wanted.name}" in said:
        return explain.missing("go", wanted)
    if "found packages" in said:
        return f"{wanted.entry} is not of package main, which the file of a function has to be"
    return explain.unclear("go", wanted)


def _package(wanted: Wanted) -> list[str]:
    """The files that are compiled together: in a module all of a directory, else those without a main of their own."""
    directory = wanted.entry.rpartition("/")[0]
    if "go.mod" not in wanted.files:
        return [wanted.entry]
    beside_it = (path for path in sorted(wanted.files) if path.rpartition("/")[0] == directory)
    return [path for path in beside_it if path.endswith(".go") and not path.endswith("_test.go")]


def _of_file(wanted: Wanted) -> Wanted:
    """In a module, whose entry may be its go.mod: with the file that holds the function, where one does."""
    for path in _package(wanted):
        if any(each.name == wanted.name for each in functions("go", wanted.files[path])):
            return replace(wanted, entry=path)
    return wanted


def _parameters(wanted: Wanted) -> tuple[list[str], str]:
    """The parameters' names and a declaration that refuses other types, where the text tells their number plainly."""
    found = [each for each in functions("go", wanted.files[wanted.entry]) if each.name == wanted.name]
    if len(found) != 1 or len(found[0].parameters) > _MOST:
        return [], ""
    parts = [part.split() for part in found[0].parameters]
    named = any(len(part) > 1 and re.fullmatch(r"\w+", part[0]) and part[0] not in {"chan", "func"} for part in parts)
    names = [part[0] for part in parts] if named else []
    results = _results(found[0])
    if results is None:
        return names, ""
    takes = [f"P{place}" for place in range(len(parts))]
    gives = [f"R{place}" for place in range(len(results))]
    bounds = [f"{name} wasmgridParameter" for name in takes]
    bounds += [
        f"{name} {'any' if last == 'error' else 'wasmgridResult'}" for name, last in zip(gives, results, strict=True)
    ]
    spread = bool(parts) and any("..." in word for word in parts[-1])
    taken = [*takes[:-1], f"...{takes[-1]}"] if spread else takes
    if not bounds:
        return names, ""
    return names, (
        f"func wasmgridCheck[{', '.join(bounds)}](func({', '.join(taken)}) ({', '.join(gives)})) bool "
        "{ return true }\n"
        f"var _ = wasmgridCheck({wanted.name})"
    )


def _results(found: Found) -> list[str] | None:
    """The types of the results as they are written, or None where that is not plain."""
    written = found.result
    if not written:
        return []
    if not written.startswith("("):
        return [written]
    if not written.endswith(")") or "(" in written[1:]:
        return None
    parts = [part.split() for part in written[1:-1].split(",")]
    return [part[-1] for part in parts if part]
