"""What a worker says of itself."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from wasmgrid.core.errors import InvalidField
from wasmgrid.core.resources import Resources

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")


class Toolchain(msgspec.Struct, frozen=True, kw_only=True):
    """A toolchain that a worker has (`ready`) or can install on first use.

    `identity` decides build keys: it changes whenever the same source might give another module. `download_mb` and
    `install_s` are estimates for the message shown before an installation.
    """

    language: str
    identity: str
    version: str
    ready: bool
    download_mb: int = 0
    install_s: int = 0


class WorkerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A worker as it joins. `incarnation` is new at every start, so that two lives of one id are told apart."""

    id: str
    incarnation: str
    version: str
    capacity: Resources
    labels: dict[str, str] = {}
    toolchains: list[Toolchain] = []
    builds_only: bool = False
    hostname: str = ""
    pid: int = 0


class WorkerView(msgspec.Struct, frozen=True, kw_only=True):
    """A worker as JSON. `state` is joined, draining, unheard, left or lost; `used` is what its tasks take.

    `silent_s` is how long ago its last word came; None where it has left.
    """

    id: str
    state: str
    labels: dict[str, str]
    capacity: Resources
    used: Resources
    running: list[str]
    toolchains: list[Toolchain]
    builds_only: bool
    hostname: str
    version: str
    silent_s: float | None


def check_id(text: str, *, field: str) -> str:
    """`text` where it may be an id (it becomes part of NATS subjects and paths), else `InvalidField`."""
    if _ID.fullmatch(text) is None:
        raise InvalidField(f"{text!r} is not an id: letters, digits, - and _, at most 63", field=field)
    return text


def check_labels(labels: Mapping[str, str], *, field: str) -> None:
    """Raise `InvalidField` unless every key and value is an id."""
    for key, value in labels.items():
        check_id(key, field=field)
        check_id(value, field=f"{field}.{key}")
