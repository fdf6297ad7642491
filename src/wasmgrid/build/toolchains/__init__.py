"""The languages, and what can be said of a source at its submission: its language, its entry, whether its flags may be.

Imports nothing heavy: a server uses this without any toolchain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from wasmgrid.build.toolchains.c import C
from wasmgrid.build.toolchains.cpp import CPP
from wasmgrid.build.toolchains.go import GO
from wasmgrid.build.toolchains.infer import infer_among
from wasmgrid.build.toolchains.javascript import JAVASCRIPT
from wasmgrid.build.toolchains.language import Language
from wasmgrid.build.toolchains.python import PYTHON_LANGUAGE
from wasmgrid.build.toolchains.rust import RUST
from wasmgrid.build.toolchains.typescript import TYPESCRIPT
from wasmgrid.build.toolchains.wasm import WASM
from wasmgrid.build.toolchains.wat import WAT
from wasmgrid.build.toolchains.zig import ZIG
from wasmgrid.core.errors import FlagRefused, LanguageUnknown

# In the order in which content is judged: what is told apart most surely comes first.
LANGUAGES: dict[str, Language] = {
    each.name: each for each in (WASM, WAT, GO, ZIG, RUST, CPP, C, TYPESCRIPT, JAVASCRIPT, PYTHON_LANGUAGE)
}

__all__ = ["LANGUAGES", "check_flags", "infer", "named"]


def named(name: str) -> Language:
    """The language called `name` (or an alias of it, in any case); raises `LanguageUnknown`."""
    wanted = name.strip().lower()
    for each in LANGUAGES.values():
        if wanted == each.name or wanted in each.aliases:
            return each
    raise LanguageUnknown(
        f"no language is called {name[:40]!r}",
        hint=f"one of {', '.join(sorted(LANGUAGES))}",
        field="source.language",
    )


def infer(files: Mapping[str, bytes], language: str | None = None, entry: str | None = None) -> tuple[str, str]:
    """(language, entry) of a project (path -> content), from what is given, then names, then content.

    Raises `LanguageUnknown` where that does not decide, `InvalidField` for an entry that is not among the files.
    """
    chosen = named(language) if language is not None else None
    return infer_among(LANGUAGES, files, chosen, entry)


def check_flags(language: str, flags: Sequence[str]) -> None:
    """Raise `FlagRefused` unless every build flag is on the allow-list of its language."""
    chosen = named(language)
    for flag in flags:
        if not any(allowed.allows(flag) for allowed in chosen.flags):
            shown = ", ".join(allowed.shown for allowed in chosen.flags)
            raise FlagRefused(
                f"the build flag {flag[:100]!r} is not allowed for {chosen.name}",
                hint=f"allowed: {shown}" if shown else f"{chosen.name} takes no build flags",
                field="source.build_flags",
            )
