"""The route of many jobs at once: one request, one commit, an answer for each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from litestar import MediaType, post
from litestar.connection import Request

from wasmgrid.core.errors import InvalidRequest, TooLarge, WasmgridError
from wasmgrid.core.job import JobSpec, JobView
from wasmgrid.server import strict_json
from wasmgrid.server.jobs import Wait
from wasmgrid.server.openapi import also, problems
from wasmgrid.server.problems import Problem, problem_of
from wasmgrid.server.sending import Pieces
from wasmgrid.server.service import Accepted, Service, Svc, clamp_wait

MOST = 1000
TURN = 50  # jobs that are looked at before others have their turn

_encode = msgspec.json.Encoder().encode


class BatchItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A job, or why there is none."""

    job: JobView | None = None
    error: Problem | None = None


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """An answer to each request, in their order."""

    jobs: list[BatchItem]


@post(
    "/v1/jobs:batch",
    status_code=200,
    media_type=MediaType.JSON,
    summary="Submit many jobs",
    responses=problems(400, 408, 413, 422, 503) | also(200, Batch),
    tags=["jobs"],
)
async def submit_batch(request: Request[Any, Any, Any], service: Svc, wait: Wait = None) -> Pieces:
    """A JSON array of at most 1000 JobSpecs; those that can be are kept in one commit, the others say why not.

    With `wait` the answer comes when all are finished, or after that many seconds.
    """
    specs = _specs(await service.bodies.json(request))
    ends_at = time.monotonic() + clamp_wait(wait)
    accepted = await service.submit_many([_decoded(spec) for spec in specs])
    if wait:
        numbers = [one.submitted.id for one in accepted if isinstance(one, Accepted)]
        await service.control.wait_all(numbers, max(0.0, ends_at - time.monotonic()))
    return Pieces(_answer(service, accepted), media_type=MediaType.JSON, headers={})


def _specs(body: bytes) -> list[msgspec.Raw]:
    try:
        specs = msgspec.json.decode(body, type=list[msgspec.Raw])
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise InvalidRequest("the body is no JSON array of job specs") from error
    if len(specs) > MOST:
        raise TooLarge(f"a batch may have at most {MOST} jobs, this one has {len(specs)}", hint="send several")
    return specs


def _decoded(spec: msgspec.Raw) -> JobSpec | WasmgridError:
    try:
        return strict_json.decode(bytes(spec), JobSpec)
    except WasmgridError as error:
        return error


async def _answer(service: Service, accepted: list[Accepted | WasmgridError]) -> AsyncIterator[bytes]:
    """The answer in pieces: what a thousand jobs printed is never in memory at once."""
    yield b'{"jobs":['
    for at, one in enumerate(accepted):
        if at % TURN == TURN - 1:
            await asyncio.sleep(0)
        yield (b"," if at else b"") + _encode(await _item(service, one))
    yield b"]}"


async def _item(service: Service, one: Accepted | WasmgridError) -> BatchItem:
    if isinstance(one, WasmgridError):
        return BatchItem(error=problem_of(one))
    try:
        return BatchItem(job=await service.answer(one, 0.0, look=True))
    except WasmgridError as error:
        return BatchItem(error=problem_of(error))
