"""A job request out of files on this machine: source, project or module, with its inputs, packed and addressed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wasmgrid.core.digest import is_sha256
from wasmgrid.core.errors import InvalidField, TooLarge
from wasmgrid.core.job import Input, JobSpec, Lines, Source
from wasmgrid.core.limits import Ceiling
from wasmgrid.core.units import format_bytes
from wasmgrid.sdk import blobs, packing
from wasmgrid.sdk.blobs import Blob
from wasmgrid.sdk.given import GivenBytes, GivenInput
from wasmgrid.sdk.lines import GivenLines

WASM_MAGIC = b"\0asm"


@dataclass(frozen=True)
class Prepared:
    """A request, and the bytes that it names by digest."""

    spec: JobSpec
    blobs: dict[str, Blob] = field(default_factory=dict)


def job(
    program: str | Path | bytes,
    *,
    file_name: str = "main",
    language: str | None = None,
    entry: str | None = None,
    build_flags: Iterable[str] = (),
    inputs: Iterable[GivenInput | GivenBytes] = (),
    lines: GivenLines | None = None,
    ceiling: Ceiling | None = None,
    **fields: Any,
) -> Prepared:
    """A job that runs `program`: a source file, a project's directory, a .wasm, a module's digest, or the bytes
    of a source or a module (`file_name`: what that source is called).

    `lines` (`sdk.lines` makes them) gives one of them to each task of an array. `fields` are those of `JobSpec`
    (`cpus=1`, `args=[...]`, `array="0-99"`). Raises `InvalidPath`, `InvalidField` or `TooLarge`.
    """
    most = ceiling or Ceiling()
    sent: dict[str, Blob] = {}
    given: list[Input] = []
    for one in inputs:
        if isinstance(one, GivenBytes):
            packed, blob = packing.bytes_input(one.data, one.guest, writable=one.writable, ceiling=most)
        else:
            packed, blob = packing.pack_input(one.path, one.guest, writable=one.writable, ceiling=most)
        given.append(packed)
        sent[blob.sha256] = blob
    if lines is not None:
        _check_size(lines.blob, most)
        sent[lines.blob.sha256] = lines.blob
        fields["lines"] = Lines(sha256=lines.blob.sha256, use=lines.use)
    if isinstance(program, str) and is_sha256(program) and not Path(program).exists():
        return Prepared(JobSpec(module_sha256=program, inputs=given, **fields), sent)
    module = _module(program, most)
    if module is not None:
        if language or entry or list(build_flags):
            raise InvalidField(
                "a ready .wasm is not compiled: it has no language, entry or build flags", field="source"
            )
        sent[module.sha256] = module
        return Prepared(JobSpec(module_sha256=module.sha256, inputs=given, **fields), sent)
    files = {file_name: program} if isinstance(program, bytes) else packing.read_source(Path(program), most)
    source = Source(
        files={path: packing.content(data) for path, data in files.items()},
        language=language,
        entry=entry,
        build_flags=list(build_flags),
    )
    return Prepared(JobSpec(source=source, inputs=given, **fields), sent)


def _check_size(blob: Blob, most: Ceiling) -> None:
    if blob.size > most.input_bytes:
        raise TooLarge(f"the lines are over {format_bytes(most.input_bytes)}", field="lines")


def _module(program: str | Path | bytes, most: Ceiling) -> Blob | None:
    """The blob of a ready module, by its first bytes or its name; None where `program` is source."""
    if isinstance(program, bytes):
        module = blobs.of_bytes(program) if program.startswith(WASM_MAGIC) else None
    else:
        path = Path(program)
        module = blobs.of_file(path) if path.is_file() and _is_module(path) else None
    if module is not None and module.size > most.module_bytes:
        raise TooLarge(f"the module is over {format_bytes(most.module_bytes)}", field="module_sha256")
    return module


def _is_module(path: Path) -> bool:
    if path.suffix == ".wasm":
        return True  # also where it is none: the server then says what is wrong with it
    with path.open("rb") as file:
        return file.read(len(WASM_MAGIC)) == WASM_MAGIC
