"""Routes of what belongs to a job: what it was given, what it left, and why it is where it is."""

from __future__ import annotations

import asyncio

import msgspec
from litestar import MediaType, Router, get
from litestar.params import FromPath
from litestar.response import Response

from wasmgrid.core.digest import unpack_files
from wasmgrid.core.errors import NotFound
from wasmgrid.core.job import Artifact, Base64, Source
from wasmgrid.core.lifecycle import FINISHED
from wasmgrid.scheduling.explain import Why
from wasmgrid.server import downloads
from wasmgrid.server.attempts import attempts
from wasmgrid.server.downloads import BINARY
from wasmgrid.server.logs import Index
from wasmgrid.server.openapi import problems
from wasmgrid.server.sending import Pieces
from wasmgrid.server.service import JobRef, Service, Svc
from wasmgrid.store.rows import JobRow


class Artifacts(msgspec.Struct, frozen=True, kw_only=True):
    """The files that a task left in `/out`."""

    artifacts: list[Artifact]


@get("/stdout", media_type=BINARY, summary="All that was kept of stdout", responses=problems(404, 422))
async def stdout(job: JobRef, service: Svc, index: Index = 0) -> Pieces:
    """The bytes as the program wrote them, once the task has ended; while it runs see `/logs`."""
    row, result = await service.result_of(job, index)
    return await downloads.of_output(service.store, result.stdout, name=f"job-{row.id}.stdout")


@get("/stderr", media_type=BINARY, summary="All that was kept of stderr", responses=problems(404, 422))
async def stderr(job: JobRef, service: Svc, index: Index = 0) -> Pieces:
    """The bytes as the program wrote them, once the task has ended; while it runs see `/logs`."""
    row, result = await service.result_of(job, index)
    return await downloads.of_output(service.store, result.stderr, name=f"job-{row.id}.stderr")


@get("/module", media_type="application/wasm", summary="The module", responses=problems(404, 422))
async def module(job: JobRef, service: Svc) -> Pieces:
    """The WebAssembly module that ran, or will."""
    row = await service.find(job)
    if row.module_sha256 is None:
        raise NotFound(f"job {row.id} has no module: it is {row.state}", hint=f"see: wasmgrid status {row.id}")
    name = f"{row.name or f'job-{row.id}'}.wasm"
    return await downloads.of_blob(service.store, row.module_sha256, name=name, media_type="application/wasm")


@get("/artifacts", summary="The files that a task left in /out", responses=problems(404, 422))
async def artifacts(job: JobRef, service: Svc, index: Index = 0) -> Artifacts:
    """Paths (relative to `/out`), sizes and digests; empty until the task has ended."""
    row = await service.find(job)
    result = await service.result(row, index)
    return Artifacts(artifacts=result.artifacts if result is not None else [])


@get("/artifacts/{path:path}", media_type=BINARY, summary="One of those files", responses=problems(404, 422))
async def artifact(job: JobRef, path: FromPath[str], service: Svc, index: Index = 0) -> Pieces:
    """Its bytes. `path` is looked up among the artifacts of the result: it is a name, never a path of a machine."""
    row, result = await service.result_of(job, index)
    wanted = path.removeprefix("/")
    found = next((each for each in result.artifacts if each.path == wanted), None)
    if found is None:
        raise NotFound(f"job {row.id} left no {wanted[:200]!r}", hint=f"list: wasmgrid artifacts {row.id}")
    return await downloads.of_blob(service.store, found.sha256, name=found.path)


@get("/source", summary="The source as it was sent", responses=problems(404, 422))
async def source(job: JobRef, service: Svc) -> Source:
    """Its files, with what was inferred; bytes that are not UTF-8 as base64."""
    row = await service.find(job)
    ref = row.spec.source
    if ref is None:
        raise NotFound(f"job {row.id} was submitted as a module", hint=f"get it: wasmgrid wasm {row.id} -o x.wasm")
    blob = await service.store.blobs.read(ref.sha256)
    files = await asyncio.to_thread(unpack_files, blob)
    return Source(
        files={path: _text(content) for path, content in files.items()},
        language=ref.language,
        entry=ref.entry,
        build_flags=ref.build_flags,
    )


@get("/inputs/{number:int}", media_type=BINARY, summary="One input as it was sent", responses=problems(404, 422))
async def input_file(job: JobRef, number: FromPath[int], service: Svc) -> Pieces:
    """A file, or a tar archive where the input is a tree."""
    row = await service.find(job)
    if not 0 <= number < len(row.spec.inputs):
        raise NotFound(f"job {row.id} has {len(row.spec.inputs)} inputs, numbered from 0")
    given = row.spec.inputs[number]
    name = (given.path.strip("/") or f"input-{number}") + (".tar" if given.tree else "")
    return await downloads.of_blob(service.store, given.sha256, name=name)


@get("/stdin", media_type=BINARY, summary="Standard input as it was sent", responses=problems(404, 422))
async def stdin(job: JobRef, service: Svc) -> Pieces:
    """The bytes; none where the job was given no stdin."""
    row = await service.find(job)
    given = row.spec.stdin
    name = f"job-{row.id}.stdin"
    if given is not None and given.sha256 is not None:
        return await downloads.of_blob(service.store, given.sha256, name=name)
    return downloads.of_bytes(given.data if given is not None else b"", name=name)


@get("/why", summary="Why a job is where it is", responses=problems(404, 422))
async def why(job: JobRef, service: Svc) -> Why:
    """In one sentence, and per worker: what does not fit, and the smallest change that would."""
    return await why_of(service, await service.find(job))


async def why_of(service: Service, row: JobRow) -> Why:
    """Why that job is where it is."""
    answer = await service.control.why(row.id) if row.state not in FINISHED else None
    return answer or Why(reason=f"it is {row.state}" + (f": {row.message}" if row.message else ""))


@get("/diagnostics", media_type=MediaType.TEXT, summary="What the compiler said", responses=problems(404, 422))
async def diagnostics(job: JobRef, service: Svc) -> Response[str]:
    """Verbatim and capped; empty while it is not built, or where nothing was said."""
    row = await service.find(job)
    build = await service.store.build(row.build_id) if row.build_id is not None else None
    return Response(build.diagnostics if build is not None else "", media_type=MediaType.TEXT)


def _text(content: bytes) -> str | Base64:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return Base64(base64=content)


router = Router(
    path="/v1/jobs/{job:str}",
    route_handlers=[
        stdout,
        stderr,
        module,
        artifacts,
        artifact,
        source,
        input_file,
        stdin,
        why,
        diagnostics,
        attempts,
    ],
    tags=["what belongs to a job"],
)
