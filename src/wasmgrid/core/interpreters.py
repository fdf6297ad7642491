"""The interpreters that are WebAssembly modules themselves: what a bundle may name, and nothing else.

A worker takes an interpreter by its digest alone, so a bundle that somebody made by hand reaches no other blob.
"""

from __future__ import annotations

import msgspec


class Interpreter(msgspec.Struct, frozen=True, kw_only=True):
    """One of them: `sha256` is the digest of its module, `least_mb` what it takes before it runs anybody's code."""

    name: str
    version: str
    sha256: str
    least_mb: int


PYTHON = Interpreter(
    name="python",
    version="3.12.0",
    sha256="e5dc5a398b07b54ea8fdb503bf68fb583d533f10ec3f930963e02b9505f7a763",
    least_mb=12,
)
QUICKJS = Interpreter(
    name="quickjs",
    version="0.11.0",
    sha256="f9742952f9989b1558c4a79bedfb351d6ca33ff22a41e886517cae5196e6d783",
    least_mb=1,
)

INTERPRETERS = {each.sha256: each for each in (PYTHON, QUICKJS)}
