"""What a submission must pass before it is a job: checked, its language inferred, its large parts made into blobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from wasmgrid.build.functions.names import check_function
from wasmgrid.build.project import check_source
from wasmgrid.build.toolchains import check_flags, infer, named
from wasmgrid.core.digest import pack_files, sha256_hex
from wasmgrid.core.errors import InputNotFound, InvalidField, InvalidPath, InvalidRequest, ModuleNotFound, TooLarge
from wasmgrid.core.job import INLINE_BYTES, Base64, JobSpec, Source, SourceRef, Stdin, StoredSpec
from wasmgrid.core.limits import Ceiling
from wasmgrid.core.paths import check_guest, check_relative
from wasmgrid.core.units import format_bytes
from wasmgrid.core.worker import check_labels
from wasmgrid.server import arrays
from wasmgrid.store.rows import FinishedJob, JobRow, NewJob, OpenJob, Submitted

ASSIGNMENT_BYTES = 256 * 1024  # args, env and input paths travel in one frame with every assignment
MAX_LABELS = 64
MAX_VARIABLES = 10_000
SHOWN_PATHS = 100
THREAD_BYTES = 256 * 1024
MAX_TIMEOUT_S = 366 * 86400.0
WASM = "wasm"

_CEILINGS = ("cpus", "memory_mb", "disk_mb", "gpus", "time_limit_s", "output_limit_bytes", "retries")
_AS_GIVEN = frozenset(StoredSpec.__struct_fields__) - {"source", "stdin", "module_sha256"}


def with_source(spec: JobSpec, parts: Mapping[str, bytes]) -> JobSpec:
    """Files that came beside a spec are a source, also where it says nothing of one."""
    if parts and spec.source is None:
        return msgspec.structs.replace(spec, source=Source())
    return spec


def check(spec: JobSpec, ceiling: Ceiling, *, kept_source: bool = False) -> None:
    """Raise unless the request, without its source, could be a job; every error names its field.

    `kept_source`: where it names none, it has an earlier job's.
    """
    has_source = spec.source is not None or kept_source
    if has_source == (spec.module_sha256 is not None):
        raise InvalidField(
            "a job has either a source or a module_sha256",
            hint="give one of them" if not has_source else "leave one of them out",
            field="source",
        )
    if spec.build_only and not has_source:
        raise InvalidField("there is nothing to build: the job has a module already", field="build_only")
    for field in _CEILINGS:
        ceiling.check(field, getattr(spec, field))
    _check_times(spec, ceiling)
    if not spec.gpus and (spec.gpu_model is not None or spec.gpu_memory_mb):
        field = "gpu_memory_mb" if spec.gpu_model is None else "gpu_model"
        raise InvalidField(f"{field} is given, but gpus is 0", hint="say how many: gpus, --gpus 1", field=field)
    for field in ("require", "prefer"):
        labels: dict[str, str] = getattr(spec, field)
        if len(labels) > MAX_LABELS:
            raise InvalidField(f"{field} has {len(labels)} labels, at most {MAX_LABELS} are taken", field=field)
        check_labels(labels, field=field)
    _check_words(spec)
    _check_inputs(spec)
    arrays.check(spec)


def _check_times(spec: JobSpec, ceiling: Ceiling) -> None:
    for field, most in (
        ("cpu_time_limit_s", ceiling.time_limit_s),
        ("queue_timeout_s", MAX_TIMEOUT_S),
        ("total_timeout_s", MAX_TIMEOUT_S),
    ):
        value: float | None = getattr(spec, field)
        if value is not None and not value <= most:
            raise InvalidField(f"{field} is {value}, this grid allows at most {most}", field=field)


def notes(spec: StoredSpec) -> list[str]:
    """What a person should know of a request whatever the workers are."""
    if not spec.gpus:
        return []
    return [
        "the GPUs are reserved and their indexes are in the variable WASMGRID_GPUS, but a program cannot use a GPU yet"
    ]


def _check_words(spec: JobSpec) -> None:
    if len(spec.env) > MAX_VARIABLES:
        raise TooLarge(f"env has {len(spec.env)} variables, at most {MAX_VARIABLES} are taken", field="env")
    for at, arg in enumerate(spec.args):
        if "\0" in arg:
            raise InvalidField(f"args[{at}] has a NUL character, which no program could see", field=f"args[{at}]")
    for key, value in spec.env.items():
        if not key or "=" in key or "\0" in key or "\0" in value:
            raise InvalidField(
                f"the variable {key[:100]!r} cannot be: an empty name, an = in it, or a NUL character", field="env"
            )
    size = sum(len(word.encode()) + 5 for word in (*spec.args, *spec.env, *spec.env.values()))
    size += sum(len(each.path.encode()) + 96 for each in spec.inputs)
    if size > ASSIGNMENT_BYTES:
        raise TooLarge(
            f"args, env and input paths have {format_bytes(size)}, at most {format_bytes(ASSIGNMENT_BYTES)} are taken",
            hint="send what is large as an input or as stdin",
            field="args",
        )


def _check_inputs(spec: JobSpec) -> None:
    seen: set[str] = set()
    for at, each in enumerate(spec.inputs):
        field = f"inputs[{at}].path"
        check_guest(each.path, field=field)
        if each.path == "/" and not each.tree:
            raise InvalidPath("/ is a directory: an input there must be a tree", field=field)
        if each.path in seen:
            raise InvalidPath(f"two inputs are to be at {each.path!r}", field=field)
        seen.add(each.path)


class ReadyModule(NamedTuple):
    """A source that needs no build."""

    data: bytes


class PackedSource(NamedTuple):
    """A source as it is kept, and the blob with its bytes."""

    ref: SourceRef
    blob: bytes


def is_large(source: Source, parts: Mapping[str, bytes]) -> bool:
    """Whether looking through all of it takes long enough to be done in a thread."""
    contents = [*source.files.values(), *parts.values()]
    return len(contents) > 100 or sum(map(_length, contents)) > THREAD_BYTES


def pack(
    source: Source, parts: Mapping[str, bytes], ceiling: Ceiling, function: str | None = None
) -> PackedSource | ReadyModule:
    """A source checked, its language inferred. Raises what `check_source`, `infer` and `check_flags` raise.

    `function`: the one that its module is to offer for calls.
    """
    files = _files_of(source, parts)
    if not any(files.values()):  # no request at all: 400
        raise InvalidRequest(
            "the source is empty" if files else "the source has no files",
            hint="name at least one file that is not empty",
            field="source.files",
        )
    if source.entry is not None:
        check_relative(source.entry, field="source.entry")
    check_source(files, ceiling)
    language, entry = infer(files, source.language, source.entry)
    if len(files) == 1 and "." not in entry:  # text that came without a name: compilers go by the suffix
        entry, files = _suffixed(language, entry, files[entry])
    check_flags(language, source.build_flags)
    if function is not None:
        check_function(language, function)
    if language == WASM:
        return ReadyModule(files[entry])
    blob = pack_files(files)
    ref = SourceRef(
        sha256=sha256_hex(blob),
        language=language,
        entry=entry,
        build_flags=source.build_flags,
        function=function,
        paths=sorted(files)[:SHOWN_PATHS],  # it travels in frames: of very many only the first are named
        bytes=sum(map(len, files.values())),
    )
    return PackedSource(ref, blob)


def _suffixed(language: str, entry: str, content: bytes) -> tuple[str, dict[str, bytes]]:
    suffix = next(iter(named(language).suffixes), "")
    return entry + suffix, {entry + suffix: content}


def _files_of(source: Source, parts: Mapping[str, bytes]) -> dict[str, bytes]:
    """path -> bytes of a source, from its JSON and from the parts of a multipart body."""
    files = {path: _bytes(content) for path, content in source.files.items()}
    for path, content in parts.items():
        if path in files:
            raise InvalidPath(f"the file {path[:200]!r} came twice", field="source.files")
        files[path] = content
    return files


def stdin_bytes(spec: JobSpec, ceiling: Ceiling) -> bytes | None:
    """Standard input as bytes."""
    if spec.stdin is None:
        return None
    data = _bytes(spec.stdin)
    if len(data) > ceiling.stdin_bytes:
        raise TooLarge(
            f"stdin has {format_bytes(len(data))}, this grid takes at most {format_bytes(ceiling.stdin_bytes)}",
            hint="send it as an input file",
            field="stdin",
        )
    return data


def stored(spec: JobSpec, *, source: SourceRef | None, module_sha256: str | None, stdin: Stdin | None) -> StoredSpec:
    """The spec as it is kept."""
    given = {field: getattr(spec, field) for field in _AS_GIVEN}
    return StoredSpec(**given, source=source, module_sha256=module_sha256, stdin=stdin)


def request_digest(spec: StoredSpec) -> str:
    """What makes two requests under one idempotency key the same: everything that would be kept."""
    return sha256_hex(msgspec.msgpack.encode(spec, order="deterministic"))


def open_job(new: NewJob, submitted: Submitted) -> OpenJob:
    """A job that was just committed, as a leader takes it up."""
    return OpenJob(
        id=submitted.id,
        tenant=new.tenant,
        spec=new.spec,
        state=new.state,
        module_sha256=new.module_sha256,
        build_id=None,
        submitted_at=submitted.submitted_at,
        cancel_requested=False,
        task_count=new.task_count,
    )


def fresh_row(new: NewJob, submitted: Submitted) -> JobRow:
    """The same as the store has it."""
    return JobRow(
        id=submitted.id,
        tenant=new.tenant,
        name=new.spec.name,
        state=new.state,
        spec=new.spec,
        module_sha256=new.module_sha256,
        build_id=None,
        build_cached=None,
        submitted_at=submitted.submitted_at,
        started_at=None,
        finished_at=None,
        cancel_requested_at=None,
        task_count=new.task_count,
        message="",
    )


def ended_row(new: NewJob, submitted: Submitted, finished: FinishedJob) -> JobRow:
    """The same once it has ended."""
    return msgspec.structs.replace(
        fresh_row(new, submitted),
        state=finished.state,
        started_at=finished.started_at,
        finished_at=finished.finished_at,
        message=finished.message,
    )


def module_missing(sha256: str) -> ModuleNotFound:
    """The store has no such module."""
    return ModuleNotFound(
        f"no module {sha256} is here", hint=f"upload it first: PUT /v1/modules/{sha256}", field="module_sha256"
    )


def input_missing(sha256: str, at: int) -> InputNotFound:
    """The store has no such input."""
    return InputNotFound(
        f"no input {sha256} is here", hint=f"upload it first: PUT /v1/inputs/{sha256}", field=f"inputs[{at}].sha256"
    )


def is_inline(data: bytes) -> bool:
    """Whether these bytes are kept in their row."""
    return len(data) <= INLINE_BYTES


def _length(content: str | Base64 | bytes) -> int:
    return len(content.base64 if isinstance(content, Base64) else content)


def _bytes(content: str | Base64) -> bytes:
    return content.base64 if isinstance(content, Base64) else content.encode()
