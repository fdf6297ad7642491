"""Functions of the interpreted languages: nothing has to be generated, for the interpreter knows what it has loaded.

Python's are found by name. Those of JavaScript and TypeScript are made known by a line after the file's last one,
whether they are exported or not; TypeScript's types are gone when it runs, so the line has the signature, too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from wasmgrid.build.functions.wrap import RESERVED, Unsupported, Wanted, followed

_FUNCTION = re.compile(
    r"^(?:export +)?(?:default +)?(?:async +)?function *\*? *([A-Za-z_$][\w$]{0,200})|"
    r"^(?:export +)?(?:const|let|var) +([A-Za-z_$][\w$]{0,200})[^=\n]{0,500}="
    r" *(?:async *)?(?:function\b|\([^\n]{0,500}=>|[\w$]{1,200} *=>)",
    re.MULTILINE,
)
_MISSING = re.compile(r"exported variable '[^']*' does not exist|is not declared in this file")
_DECLARED = r"(?:\bfunction\s*\*?|\bconst|\blet|\bvar|\bclass|[{,])\s*NAME\b|\bimport\s+NAME\b"
_MOST_CHARS = 1000


def as_it_is(wanted: Wanted) -> Mapping[str, bytes]:
    """A Python project."""
    return wanted.files


def why_python(wanted: Wanted, said: str) -> str:
    """The check has looked for the function, and said what there is."""
    return said.strip() or f"{wanted.name} cannot be called"


def offered(wanted: Wanted) -> Mapping[str, bytes]:
    """A JavaScript or TypeScript project whose entry offers the function."""
    typescript = wanted.entry.endswith((".ts", ".mts"))
    if typescript and not re.search(_DECLARED.replace("NAME", re.escape(wanted.name)), _text(wanted)):
        raise Unsupported(_missing(wanted))  # its compiler takes any name for that of a type, and drops it
    line = f"export {{ {wanted.name} as {RESERVED}offered }};"
    written = _written(wanted)
    if typescript and written:
        line += f" export const {RESERVED}signature = {json.dumps(written)};"
    return {**wanted.files, wanted.entry: followed(wanted.files[wanted.entry], line)}


def why_javascript(wanted: Wanted, said: str) -> str:
    """Why the function of a file that is itself in order cannot be called."""
    if not _MISSING.search(said):
        return said.strip() or f"{wanted.name} cannot be called"
    return _missing(wanted)


def _missing(wanted: Wanted) -> str:
    names = [first or second for first, second in _FUNCTION.findall(_text(wanted))]
    return f"there is no function {wanted.name} in {wanted.entry}; the functions in it: {', '.join(names) or 'none'}"


def _written(wanted: Wanted) -> str:
    """The function's signature as its author wrote it, from its parameters' parenthesis to its body."""
    name = re.escape(wanted.name)
    found = re.search(rf"\bfunction\s*\*?\s*{name}\s*(?:<[^>]{{0,200}}>)?\s*(?=\()", _text(wanted))
    found = found or re.search(rf"\b(?:const|let|var)\s+{name}\s*=\s*(?:async\s*)?(?=\()", _text(wanted))
    if found is None:
        return ""
    rest = _text(wanted)[found.end() : found.end() + _MOST_CHARS]
    end = _closing(rest)
    result = re.match(r"\s*:\s*[^{=]{1,200}", rest[end:])
    return "" if not end else rest[:end] + (result[0].rstrip() if result else "")


def _closing(text: str) -> int:
    """Where the parenthesis that `text` begins with has been closed; 0 where it is not."""
    depth = 0
    for at, char in enumerate(text):
        depth += (char in "([{") - (char in ")]}")
        if depth == 0:
            return at + 1
    return 0


def _text(wanted: Wanted) -> str:
    return wanted.files[wanted.entry].decode("utf-8", "replace")
