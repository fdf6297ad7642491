"""What the flags ask for, as a request; everything on this machine is read here."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click
import msgspec

from wasmgrid.cli import arrayflags
from wasmgrid.core.digest import is_sha256
from wasmgrid.core.errors import InvalidPath, LanguageUnknown
from wasmgrid.core.job import Base64
from wasmgrid.core.limits import Ceiling
from wasmgrid.sdk import packing, prepare
from wasmgrid.sdk.blobs import Blob
from wasmgrid.sdk.views import Spec

_MERGED = ("env", "require", "prefer")
DEPENDENT = {*_MERGED, "each_line", "from_json"}  # changes that depend on what was there


def prepared(program: str, given: Mapping[str, Any]) -> prepare.Prepared:
    """The request for a run of `program`, out of all flags of a job and its `args`."""
    fields = dict(given)
    arrayflags.check(program, fields)
    if (fields["gpu_model"] or fields["gpu_memory_mb"]) and not fields["gpus"]:
        raise click.UsageError("--gpu-model and --gpu-memory-mb say which GPUs; say how many, too: --gpus 1")
    if fields["retry_memory"] and not fields["retries"]:
        raise click.UsageError("--retry-memory is the memory of a retry; say how many, too: --retries 3")
    fields |= {"args": list(fields["args"]), **arrayflags.taken(fields)}
    fields["require"], fields["prefer"] = dict(fields["require"]), dict(fields["prefer"])
    fields["env"] = variables(fields["env"])
    fields["stdin"] = None if fields["stdin"] is None else _stdin(fields["stdin"])
    return prepare.job(**program_of(program, fields["language"]), **fields)


def changes(old: Spec, given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Blob]]:
    """(keys of a request that are to be other than in `old`, the bytes that they name), out of the flags in `given`.

    Variables and labels are added to those that were there.
    """
    changed = dict(given)
    sent: dict[str, Blob] = {}
    lines = {name: changed.pop(name, None) for name in ("each_line", "from_json", "as_args")}
    if lines["each_line"] or lines["from_json"]:
        asked = {"args": old.args, "function": old.function, **changed, **lines}
        taken = arrayflags.given_lines(lines["each_line"], lines["from_json"], arrayflags.use_of(asked))
        if taken is not None:
            sent[taken.blob.sha256] = taken.blob
            changed["lines"] = {"sha256": taken.blob.sha256, "use": taken.use}
    if "env" in changed:
        changed["env"] = variables(changed["env"])
    for key in _MERGED:
        if key in changed:
            changed[key] = {**getattr(old, key), **dict(changed[key])}
    if "stdin" in changed:
        changed["stdin"] = msgspec.to_builtins(_stdin(changed["stdin"]))
    if "inputs" in changed:
        packed = [
            packing.pack_input(one.path, one.guest, writable=one.writable, ceiling=Ceiling())
            for one in changed["inputs"]
        ]
        sent |= {blob.sha256: blob for _, blob in packed}
        changed["inputs"] = [msgspec.to_builtins(one) for one, _ in packed]
    return changed, sent


def program_of(named: str, language: str | None) -> dict[str, Any]:
    """The program as `prepare.job` takes it: its name, or what standard input holds under a name that fits."""
    if named != "-":
        if not Path(named).exists() and not is_sha256(named):
            raise InvalidPath(f"there is no {named}", hint=_near(Path(named)), field="source")
        return {"program": named}
    if sys.stdin.isatty():
        click.echo("type the program, then Ctrl-D", err=True)
    data = sys.stdin.buffer.read()
    return {"program": data, "file_name": "main" + _suffix(data, language)}


def variables(texts: Iterable[str]) -> dict[str, str]:
    """`K=V`, or this shell's value of `K`."""
    pairs = (text.partition("=") for text in texts)
    return {name: value if equals else os.environ.get(name, "") for name, equals, value in pairs}


def _near(path: Path) -> str:
    """What may have been meant by a path where nothing is."""
    import difflib  # noqa: PLC0415 -- only a typing error needs it

    try:
        there = [each.name for each in path.parent.iterdir()]
    except OSError:
        return f"there is no directory {path.parent} either"
    near = difflib.get_close_matches(path.name, there, n=1)
    return f"did you mean {path.with_name(near[0])}?" if near else "write a first one: wasmgrid init"


def _suffix(data: bytes, language: str | None) -> str:
    """`.c` and the like: compilers go by it. None where only the server may know the language."""
    from wasmgrid.build import toolchains  # noqa: PLC0415 -- only source without a name needs it

    try:
        found, _ = toolchains.infer({"main": data}, language, None)
    except LanguageUnknown:
        return ""
    return next(iter(toolchains.named(found).suffixes), "")


def _stdin(source: str) -> str | Base64:
    if source == "-":
        return packing.content(sys.stdin.buffer.read())
    try:
        return packing.content(Path(source).read_bytes())
    except OSError as error:
        raise click.BadParameter(f"{source!r} cannot be read: {error.strerror}", param_hint="--stdin") from error
