"""Reads a C function's type out of a mangled name, in which no typedef is left.

The grammar: https://itanium-cxx-abi.github.io/cxx-abi/abi.html#mangling (what a C declaration can need of it).
"""

from __future__ import annotations

from dataclasses import dataclass

_BUILTIN = {
    "v": "void",
    "b": "bool",
    "c": "char",
    "a": "signed char",
    "h": "unsigned char",
    "s": "short",
    "t": "unsigned short",
    "i": "int",
    "j": "unsigned int",
    "l": "long",
    "m": "unsigned long",
    "x": "long long",
    "y": "unsigned long long",
    "f": "float",
    "d": "double",
    "e": "long double",
    "n": "__int128",
    "o": "unsigned __int128",
    "z": "...",
}
_QUALIFIERS = {"K": "const", "V": "volatile", "r": "restrict"}
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, kw_only=True)
class Type:
    """A type by its name; of a pointer `to` what, of a function what it takes and gives. `const` as it is qualified."""

    name: str
    const: bool = False
    to: Type | None = None
    takes: tuple[Type, ...] | None = None
    gives: Type | None = None


def function_type(mangled: str, name: str) -> Type:
    """The function of which `name` takes a pointer; raises `ValueError` for a type that is none of C's plain ones."""
    prefix = f"_Z{len(name)}{name}"
    if not mangled.startswith(prefix):
        raise ValueError(mangled)
    pointer = _Reader(mangled[len(prefix) :]).type()
    if pointer.to is None or pointer.to.takes is None:
        raise ValueError(mangled)
    return pointer.to


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._known: list[Type] = []

    def type(self) -> Type:
        """The next type; every one that is composed can be meant again by its number."""
        char = self._next()
        if char in _BUILTIN:
            return Type(name=_BUILTIN[char])
        if char == "S":
            return self._known[self._number()]
        if char == "P":
            to = self.type()
            made = Type(name=to.name + ("*" if to.name.endswith("*") else " *"), to=to)
        elif char in _QUALIFIERS:
            made = self._qualified(char)
        elif char == "F":
            made = self._function()
        elif char.isdigit():
            self._at -= 1
            made = Type(name=self._source_name())
        else:
            raise ValueError(self._text)
        self._known.append(made)
        return made

    def _next(self) -> str:
        if self._at >= len(self._text):
            raise ValueError(self._text)
        self._at += 1
        return self._text[self._at - 1]

    def _number(self) -> int:
        """`S_` is 0, `S0_` 1, and so on in base 36."""
        digits = ""
        while (char := self._next()) != "_":
            digits += char
        number = int(digits, 36) + 1 if digits else 0
        if number >= len(self._known) or any(char not in _DIGITS for char in digits):
            raise ValueError(self._text)
        return number

    def _qualified(self, first: str) -> Type:
        qualifiers = [_QUALIFIERS[first]]
        while self._text[self._at : self._at + 1] in _QUALIFIERS:
            qualifiers.append(_QUALIFIERS[self._next()])
        of = self.type()
        words = " ".join(qualifiers)
        name = f"{of.name}{words}" if of.to is not None else f"{words} {of.name}"
        return Type(name=name, const="const" in qualifiers, to=of.to, takes=of.takes, gives=of.gives)

    def _function(self) -> Type:
        gives = self.type()
        takes = []
        while self._text[self._at : self._at + 1] != "E":
            takes.append(self.type())
        self._at += 1
        plain = tuple(each for each in takes if each.name != "void")
        return Type(name=f"{gives.name} ({', '.join(each.name for each in plain)})", takes=plain, gives=gives)

    def _source_name(self) -> str:
        digits = ""
        while self._text[self._at : self._at + 1].isdigit():
            digits += self._next()
        size = int(digits)
        if size > len(self._text) - self._at:
            raise ValueError(self._text)
        self._at += size
        return self._text[self._at - size : self._at]
