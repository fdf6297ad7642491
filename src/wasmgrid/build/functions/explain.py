"""What the author of a file is told whose function cannot be called though the file itself is in order."""

from __future__ import annotations

import re

from wasmgrid.build.functions.scan import functions, listed
from wasmgrid.build.functions.wrap import RESERVED, Wanted

_CAN = "calls hold integers, floats, booleans, strings, and lists of them"


def missing(language: str, wanted: Wanted) -> str:
    """There is no such function; what there is."""
    there = listed(functions(language, wanted.files[wanted.entry]))
    return f"there is no function {wanted.name} in {wanted.entry}; the functions in it: {there}"


def unsupported(language: str, wanted: Wanted, type_name: str, *, result: bool) -> str:
    """A parameter or the result is of a type that has no JSON."""
    return of_type(wanted, "its result" if result else _parameter(language, wanted, type_name), type_name)


def of_type(wanted: Wanted, what: str, type_name: str) -> str:
    """`what` (a parameter, the result) is of a type that has no JSON."""
    return f"{wanted.name} cannot be called: {what} is of the type {_short(type_name)}, and {_CAN}"


def unclear(language: str, wanted: Wanted) -> str:
    """Anything else: names that are taken, several functions of one name, or the function as it is written."""
    prefix = RESERVED.rstrip("_")
    if re.search(rf"\b{prefix}".encode(), wanted.files[wanted.entry]):
        return f"{wanted.entry} cannot be compiled for calls: names that begin with {prefix} are the grid's own"
    found = [each for each in functions(language, wanted.files[wanted.entry]) if each.name == wanted.name]
    if not found:
        return missing(language, wanted)
    if len(found) > 1:
        return f"{wanted.name} cannot be called: there are {len(found)} functions of that name in {wanted.entry}"
    each = found[0]
    written = f"{each.name}({', '.join(each.parameters)}) {each.result}".strip()
    return f"{wanted.name} cannot be called as it is: {_short(written)}; {_CAN}, and a function has one type"


def _parameter(language: str, wanted: Wanted, type_name: str) -> str:
    """`its parameter p`, as it is written where its type is; where it has another name for it, any."""
    found = [each for each in functions(language, wanted.files[wanted.entry]) if each.name == wanted.name]
    parts = [part for each in found for part in each.parameters]
    whole = [part for part in parts if "".join(type_name.split()) in "".join(part.split())]
    names = re.findall(r"\w+", type_name)
    like = [part for part in parts if names and re.search(rf"\b{names[-1]}\b", part)]
    written = whole or like
    return f"its parameter `{_short(written[0])}`" if written else "a parameter"


def _short(text: str) -> str:
    return text if len(text) <= 200 else text[:200] + "..."
