"""One finding of `doctor`."""

from __future__ import annotations

from typing import Literal

import msgspec

State = Literal["ok", "warn", "fail"]


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the report. `remedy` is what to do about it, or None."""

    name: str
    state: State
    found: str
    remedy: str | None = None


def ok(name: str, found: str) -> Check:
    """All is well."""
    return Check(name=name, state="ok", found=found)


def warn(name: str, found: str, remedy: str) -> Check:
    """It works, and not as well as it could."""
    return Check(name=name, state="warn", found=found, remedy=remedy)


def fail(name: str, found: str, remedy: str) -> Check:
    """It is broken."""
    return Check(name=name, state="fail", found=found, remedy=remedy)
