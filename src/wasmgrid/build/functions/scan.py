"""Finds functions in a text without compiling it: for people only (names of parameters, what there is instead).

Nothing depends on it: types are the compiler's to find. Texts are hostile: every pattern here is linear.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass

_MOST_CHARS = 1 << 18
_MOST_PARAMETERS_CHARS = 4000
_MOST_SHOWN = 20
_CONTROL = {
    "if",
    "for",
    "while",
    "switch",
    "return",
    "sizeof",
    "catch",
    "defined",
    "alignas",
    "decltype",
    "__attribute__",
}
# Comments and literals, which hide brackets and names. A `'` is Rust's lifetime too: a literal is short.
# One that is not closed ends with its line or the text, so that no text is read twice.
_HIDDEN = re.compile(
    r"//[^\n]*|/\*(?:[^*]|\*(?!/))*+(?:\*/)?|\"(?:[^\"\\\n]|\\.)*+\"?|`[^`]*+`?|'(?:[^'\\\n]|\\[^\n]{1,10})'", re.DOTALL
)
_DEFINITIONS = {
    "rust": re.compile(
        r"\bfn\s{1,9}([A-Za-z_]\w{0,200})\s{0,9}(?:<(?:->|[^<>;{]|<[^<>;{]{0,100}>){0,200}+>)?\s{0,9}\("
    ),
    "zig": re.compile(r"\bfn\s{1,9}([A-Za-z_]\w{0,200})\s{0,9}\("),
    "go": re.compile(r"^func\s{1,9}([A-Za-z_]\w{0,200})\s{0,9}(?:\[[^\]]{0,200}\])?\(", re.MULTILINE),
    "c": re.compile(r"\b([A-Za-z_]\w{0,200})\s{0,9}\("),
    "cpp": re.compile(r"\b([A-Za-z_]\w{0,200})\s{0,9}\("),
}
_TRANSPARENT = re.compile(r"(\bnamespace\b[\w\s:]{0,200}|\bextern\s*)$")


@dataclass(frozen=True, kw_only=True)
class Found:
    """A function at the top level of a text: `parameters` as they are written, each on one line."""

    name: str
    parameters: list[str]
    result: str


def functions(language: str, content: bytes) -> list[Found]:
    """The functions at the top level of a text, in its order; of a very long one those at its beginning."""
    raw = content[:_MOST_CHARS].decode("utf-8", "replace")
    text = _HIDDEN.sub(_blank, raw)
    if language in {"c", "cpp"}:
        text = re.sub(r"^[ \t]*#(?:[^\n\\]|\\.)*+", _blank, text, flags=re.MULTILINE | re.DOTALL)
    places, depths = _blocks(text)
    closings = _closings(text)
    found = []
    for match in _DEFINITIONS[language].finditer(text):
        end = closings.get(match.end() - 1)
        if end is None or match[1] in _CONTROL or depths[bisect_right(places, match.start(1)) - 1]:
            continue
        rest = text[end + 1 : end + 400]
        if language in {"c", "cpp"} and not re.match(r"[^;={},()]{0,200}\{", rest):
            continue
        result = re.match(r"[^{;]*", rest)
        parameters = text[match.end() : end] if end - match.end() <= _MOST_PARAMETERS_CHARS else ""
        found.append(Found(name=match[1], parameters=_parts(parameters), result=result[0].strip() if result else ""))
    return found


def listed(found: list[Found]) -> str:
    """`add, mul and 3 more`."""
    names = list(dict.fromkeys(each.name for each in found))
    more = f" and {len(names) - _MOST_SHOWN} more" if len(names) > _MOST_SHOWN else ""
    return ", ".join(names[:_MOST_SHOWN]) + more if names else "none"


def _blank(match: re.Match[str]) -> str:
    """As long as what it hides, with its line ends."""
    return re.sub(r"[^\n]", " ", match[0])


def _blocks(text: str) -> tuple[list[int], list[int]]:
    """Where blocks begin and end, and the depth from there on; namespaces and `extern "C"` do not count."""
    places, depths = [0], [0]
    counted: list[int] = []
    depth = 0
    for match in re.finditer(r"[{}]", text):
        at = match.start()
        if match[0] == "{":
            counted.append(0 if _TRANSPARENT.search(text[max(0, at - 220) : at]) else 1)
            depth += counted[-1]
        elif counted:
            depth -= counted.pop()
        places.append(at)
        depths.append(depth)
    return places, depths


def _closings(text: str) -> dict[int, int]:
    """Where every bracket that is opened is closed."""
    opened: list[int] = []
    found = {}
    for match in re.finditer(r"[()\[\]{}]", text):
        if match[0] in "([{":
            opened.append(match.start())
        elif opened:
            found[opened.pop()] = match.start()
    return found


def _parts(inside: str) -> list[str]:
    """What stands between the commas that are in no bracket."""
    parts, depth, begun = [], 0, 0
    for at, char in enumerate(inside):
        depth += (char in "([{<") - (char in ")]}" or (char == ">" and inside[at - 1] != "-"))
        if char == "," and depth == 0:
            parts.append(inside[begun:at])
            begun = at + 1
    parts.append(inside[begun:])
    return [" ".join(part.split()) for part in parts if part.strip()]
