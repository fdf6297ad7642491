"""C: clang tells the function's type, through a declaration that takes a pointer to it.

A pointer followed by a count is a list, `const char *` a string. What a function returns as `char *` is its caller's to
free, as C has it; as `const char *` it is not. A function that returns nothing gives the list that it may change.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from wasmgrid.build.functions import explain
from wasmgrid.build.functions.mangled import Type, function_type
from wasmgrid.build.functions.scan import functions
from wasmgrid.build.functions.wrap import Unsupported, Wanted, beside, followed, template

TYPED = "wasmgrid_typed"
_MOST = 64
_CODES = {
    "bool": "b",
    "char": "c",
    "signed char": "i1",
    "unsigned char": "u1",
    "short": "i2",
    "unsigned short": "u2",
    "int": "i4",
    "unsigned int": "u4",
    "long": "i4",
    "unsigned long": "u4",
    "long long": "i8",
    "unsigned long long": "u8",
    "float": "f4",
    "double": "f8",
}
_MEMBERS = {"i": "i", "u": "u", "f": "f", "b": "u", "c": "i", "s": "s"}


def typed(wanted: Wanted) -> Mapping[str, bytes]:
    """A declaration whose mangled name holds the function's type."""
    line = f"__attribute__((overloadable)) void {TYPED}(__typeof__(&{wanted.name}));"
    return {**wanted.files, wanted.entry: followed(wanted.files[wanted.entry], line)}


def wrap(wanted: Wanted) -> Mapping[str, bytes]:
    """The user's file includes, after its last line, the table of the function's types."""
    offer = beside(wanted.entry, "offer.h")
    return {
        **wanted.files,
        **{beside(wanted.entry, name): template(name) for name in ("call.c", "call.h", "table.c", "table.h")},
        offer: _offer(wanted, _arguments(wanted)).encode(),
        wanted.entry: followed(wanted.files[wanted.entry], f'#include "{offer.rpartition("/")[2]}"'),
    }


def why(wanted: Wanted, said: str) -> str:
    """Why the function of a file that is itself in order cannot be called."""
    if "undeclared" in said:
        return explain.missing("c", wanted)
    return explain.unclear("c", wanted)


@dataclass(frozen=True, kw_only=True)
class _Argument:
    """One argument of a call: a parameter, or two that are a list. `changed`: the function may write to that list."""

    code: str
    shown: str
    name: str
    passed: list[str]
    changed: bool = False


def _type(wanted: Wanted) -> Type:
    """The function's type, out of what clang printed of the declaration."""
    found = re.search(rf'"mangledName": "(_Z\d+{TYPED}\w+)"', wanted.types)
    try:
        return function_type(found[1] if found else "", TYPED)
    except ValueError:
        raise Unsupported(explain.unclear("c", wanted)) from None


def _arguments(wanted: Wanted) -> list[_Argument]:
    takes = _type(wanted).takes or ()
    names = _names(wanted, len(takes))
    if len(takes) > _MOST:
        raise Unsupported(f"{wanted.name} has {len(takes)} parameters, a call has at most {_MOST} arguments")
    made: list[_Argument] = []
    place = 0
    while place < len(takes):
        each, counted = takes[place], place + 1 < len(takes) and _CODES.get(takes[place + 1].name, "")[:1] in {"i", "u"}
        slot = f"s[{len(made)}]"
        code = _item(each)
        if each.to is not None and counted and (item := _item(each.to)) is not None and item != "c":
            changed = not each.to.const
            shown = f"{each.to.name.removeprefix('const ')}[]"
            passed = [f"{slot}.l.items", f"{slot}.l.count"]
            made.append(_Argument(code=f"l{item}", shown=shown, name=names[place], passed=passed, changed=changed))
            place += 2
        elif code is not None:
            passed = [f"{slot}.{_MEMBERS[code[0]]}"]
            if code == "s" and each.to is not None and not each.to.const:
                passed = [f"(void *){passed[0]}"]
            made.append(_Argument(code=code, shown=each.name, name=names[place], passed=passed))
            place += 1
        else:
            raise Unsupported(_no_argument(wanted, each, names[place]))
    return made


def _item(of: Type) -> str | None:
    """The code of a value, where a call can hold it."""
    if of.to is not None:
        return "s" if of.to.name.removeprefix("const ") == "char" else None
    return _CODES.get(of.name.removeprefix("const "))


def _no_argument(wanted: Wanted, each: Type, name: str) -> str:
    hint = "" if each.to is None else "; a list is a pointer with its count behind it: const double *xs, size_t n"
    which = f"its parameter `{name}`" if name else "a parameter"
    return explain.of_type(wanted, which, each.name) + hint


def _names(wanted: Wanted, count: int) -> list[str]:
    """The parameters' names where the text tells them plainly, else empty ones."""
    found = [each for each in functions("c", wanted.files[wanted.entry]) if each.name == wanted.name]
    parts = found[0].parameters if found else []
    names = [match[1] if (match := re.search(r"(\w+)\s*(\[.*)?$", part)) else "" for part in parts]
    return names if len(names) == count else [""] * count


def _offer(wanted: Wanted, arguments: list[_Argument]) -> str:
    """The file that the user's includes."""
    gives = _type(wanted).gives
    assert gives is not None  # noqa: S101 - of a function
    changed = next((place for place, each in enumerate(arguments) if each.changed), None)
    result = arguments[changed].shown if gives.name == "void" and changed is not None else gives.name
    if gives.name != "void" and _item(gives) is None:
        raise Unsupported(explain.of_type(wanted, "its result", gives.name))
    named = all(each.name for each in arguments)
    shown = ", ".join(f"{each.name}: {each.shown}" if named else each.shown for each in arguments)
    lists = {
        "static const char *const wasmgrid_codes[]": [each.code for each in arguments],
        "static const char *const wasmgrid_shown[]": [each.shown for each in arguments],
        "const char *const wasmgrid_names[]": [each.name for each in arguments] if named else [],
    }
    signature = json.dumps(f"{wanted.name}({shown})" + ("" if result == "void" else f" -> {result}"))
    return "\n".join(
        [
            '#pragma clang diagnostic ignored "-Weverything"',
            '#include "wasmgrid_table.h"',
            *(f"{name} = {{{', '.join([*map(json.dumps, items), '0'])}}};" for name, items in lists.items()),
            f"const unsigned wasmgrid_named = {len(arguments) if named else 0};",
            "const struct wasmgrid_table wasmgrid_table =",
            f"    {{{len(arguments)}, wasmgrid_codes, wasmgrid_shown, {signature}}};",
            "void wasmgrid_apply(union wasmgrid_slot *s) {",
            *_apply(wanted.name, arguments, gives, changed),
            "}",
            "",
        ]
    )


def _apply(name: str, arguments: list[_Argument], gives: Type, changed: int | None) -> list[str]:
    """Calls the function, and writes what it gives."""
    called = f"{name}({', '.join(part for each in arguments for part in each.passed)})"
    if gives.name == "void":
        code, given = (arguments[changed].code, f"&s[{changed}]") if changed is not None else ("v", "s")
        return [f"    {called};", "    wasmgrid_answer('=');", f'    wasmgrid_give("{code}", {given});']
    code = _item(gives) or ""
    lines = [
        "    union wasmgrid_slot r = {0};",
        f"    r.{_MEMBERS[code[0]]} = {called};",
        "    wasmgrid_answer('=');",
    ]
    lines.append(f'    wasmgrid_give("{code}", &r);')
    owned = gives.to is not None and not gives.to.const
    return [*lines, "    wasmgrid_release(r.s);"] if owned else lines
