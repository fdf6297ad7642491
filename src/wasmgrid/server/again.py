"""A job asked for again: its request as it was, some keys changed, maybe only the tasks that failed."""

from __future__ import annotations

from typing import Any

import msgspec

from wasmgrid.core.errors import InvalidField
from wasmgrid.core.job import JobSpec, StoredSpec
from wasmgrid.core.ranges import MOST_RUNS, Run, format_runs
from wasmgrid.server import strict_json
from wasmgrid.server.intake import Kept

_SHARED = frozenset(JobSpec.__struct_fields__) & frozenset(StoredSpec.__struct_fields__) - {"source", "stdin"}


class Again(msgspec.Struct, frozen=True):
    """What is submitted, and what of the earlier job goes with it."""

    spec: JobSpec
    source: bool
    stdin: bool

    def kept(self, old: StoredSpec) -> Kept:
        """The earlier job's, where nothing new stands in its place."""
        return Kept(source=old.source if self.source else None, stdin=old.stdin if self.stdin else None)


def again(old: StoredSpec, body: bytes, failed: list[Run] | None) -> Again:
    """The request of a job as it was, changed by the JSON object `body`; only the tasks `failed` where they are given.

    Raises what a submission with such keys would be refused with.
    """
    changes = strict_json.keys(body) if body.strip() else {}
    if failed is not None and "array" in changes:
        raise InvalidField("only the failed tasks are to run, and array says which", field="array")
    request: dict[str, Any] = {name: msgspec.to_builtins(getattr(old, name)) for name in _SHARED}
    if "source" in changes or "module_sha256" in changes:
        request["module_sha256"] = None
    if failed is not None and old.array is not None:
        if len(failed) > MOST_RUNS:
            raise InvalidField(
                f"the failed tasks are {len(failed)} separate runs of indexes, at most {MOST_RUNS} are taken",
                hint="run all again, or say which in array",
                field="failed",
            )
        request["array"] = format_runs(failed)
    if "lines" in changes and "array" not in changes and failed is None:
        request["array"] = None  # every line of the new text is a task
    request |= changes
    spec = strict_json.decode(msgspec.json.encode(request), JobSpec)
    has_code = spec.source is not None or spec.module_sha256 is not None
    return Again(spec, source=not has_code, stdin="stdin" not in changes)
