"""What decides, beside the toolchain itself, which module a source becomes: how we call the compiler."""

from __future__ import annotations

import json
from functools import cache
from importlib.metadata import version

from wasmgrid.build.functions.wrap import generated
from wasmgrid.build.toolchains.language import Language, Unit
from wasmgrid.core.digest import sha256_hex


@cache
def _digest(commands: str) -> str:
    return sha256_hex(commands.encode())[:12]


def recipe_digest(language: Language) -> str:
    """A digest of the commands that compile the language's hello, under fixed names."""
    unit = Unit(
        entry=next(iter(language.hello), "module"),
        files=list(language.hello),
        texts={path: text.encode() for path, text in language.hello.items()},
        flags=[],
        tools=_Names(),
        src="src",
        out="out",
        temp="temp",
    )
    commands = [[command.argv, dict(command.env)] for command in language.compile(unit)]
    return _digest(json.dumps([commands, _engine(language), _entry(language)], sort_keys=True))


def _engine(language: Language) -> str:
    """WAT is compiled by the engine that comes with the package."""
    return version("wasmtime") if language.name == "wat" else ""


def _entry(language: Language) -> str:
    """What is generated beside a function's file."""
    return generated() if language.calls is not None else ""


class _Names(dict[str, str]):
    """Every component at a directory of its own name."""

    def __missing__(self, key: str) -> str:
        return key

    def get(self, key: str, default: str | None = None) -> str | None:  # type: ignore[override]
        return default if key.endswith("-host") else key
