"""Every environment variable, and every limit with its default and its ceiling."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
from scripts.docs.reference.table import code, table

import wasmgrid
from wasmgrid.build.limits import BuildLimits
from wasmgrid.core.job import JobSpec
from wasmgrid.core.limits import Ceiling
from wasmgrid.protocol.state import Settings

# name -> who reads it, what it says. Completeness is held against the source: `unknown`.
VARIABLES = {
    "WASMGRID_HOME": ("all", "where a grid lives, and where clients look for one (`~/.local/share/wasmgrid`)"),
    "WASMGRID_SERVER": ("clients", "another server, or several with commas: any of them answers"),
    "WASMGRID_TOKEN": ("clients, servers", "the token of that server; of a server with `--store`, the grid's"),
    "WASMGRID_CA": ("clients", "a PEM file with the authorities to trust instead of the system's"),
    "WASMGRID_TOOLCHAINS": ("workers, `toolchain`", "where toolchains are (`~/.cache/wasmgrid/toolchains`)"),
    "WASMGRID_NATS": ("servers, workers", "`--nats` and `--join`, for URLs with a password"),
    "WASMGRID_STORE": ("servers", "`--store`, for a URL with a password"),
    "WASMGRID_TASK_INDEX": ("guests", "set by a worker: the index of the task in its array"),
    "WASMGRID_GPUS": ("guests", "set by a worker: the indexes of the GPUs that the task has"),
    "WASMGRID_GPU_MODEL": ("guests", "set by a worker: their model, as the driver names it"),
    "NO_COLOR": ("commands", "no colours"),
}
NOT_VARIABLES = {"WASMGRID_FAILED", "WASMGRID_ZIG", "WASMGRID_FLUSH"}  # constants of ours, and names within modules


def variables() -> str:
    """The environment variables."""
    missing = unknown()
    assert not missing, f"scripts/docs/reference/settings.py does not know {missing}"
    rows = ([code(name), who, what] for name, (who, what) in VARIABLES.items())
    return table(["variable", "read by", "meaning"], rows)


def limits() -> str:
    """What a request may ask for."""
    return table(["key", "default", "ceiling"], _limits())


def build_limits() -> str:
    """What a build may use."""
    return table(["limit", "value"], _values(BuildLimits))


def leases() -> str:
    """What a leader goes by."""
    return table(["setting", "value"], _values(Settings))


def unknown() -> set[str]:
    """Variables in the source that this page does not list."""
    source = "".join(path.read_text(encoding="utf-8") for path in Path(wasmgrid.__file__).parent.rglob("*.py"))
    return set(re.findall(r"\bWASMGRID_[A-Z_]*[A-Z]\b", source)) - set(VARIABLES) - NOT_VARIABLES


def _limits() -> Iterator[list[str]]:
    defaults = {field.encode_name: field.default for field in msgspec.structs.fields(JobSpec)}
    for field in msgspec.structs.fields(Ceiling):
        default = defaults.get(field.name, msgspec.NODEFAULT)
        yield [code(field.name), "" if default is msgspec.NODEFAULT else _number(default), _number(field.default)]


def _values(struct: type[msgspec.Struct]) -> Iterator[list[str]]:
    for field in msgspec.structs.fields(struct):
        if isinstance(field.default, int | float | str):
            yield [code(field.name), _number(field.default)]


def _number(value: object) -> str:
    return f"{value:,g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
