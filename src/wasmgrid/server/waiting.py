"""The route of whoever waits for many jobs over one connection: those that have ended, as soon as one has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from litestar import MediaType, post
from litestar.connection import Request

from wasmgrid.core.errors import InvalidRequest, JobNotFound, TooLarge
from wasmgrid.core.job import JobView
from wasmgrid.server.jobs import Wait
from wasmgrid.server.openapi import also, problems
from wasmgrid.server.sending import Pieces
from wasmgrid.server.service import Service, Svc, clamp_wait
from wasmgrid.store.queries import LARGEST_ID

MOST = 10_000  # jobs that one request waits for
ANSWERED = 100  # of one answer: whoever waits asks again for the others
TURN = 20  # jobs that are looked at before others have their turn

_encode = msgspec.json.Encoder().encode


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """Finished jobs, and the numbers of those that are not there."""

    jobs: list[JobView]
    missing: list[int]


@post(
    "/v1/jobs:wait",
    status_code=200,
    media_type=MediaType.JSON,
    summary="Wait for any of many jobs",
    responses=problems(400, 408, 413, 503) | also(200, Ended),
    tags=["jobs"],
)
async def wait_any(request: Request[Any, Any, Any], service: Svc, wait: Wait = None) -> Pieces:
    """A JSON array of at most 10,000 jobs' numbers; the answer has up to 100 of them that are finished.

    With `wait` it comes when there is one, or after that many seconds; there may be none then.
    """
    ids = _ids(await service.bodies.json(request))
    ended = await service.control.wait_any(ids, clamp_wait(wait))
    return Pieces(_answer(service, ended[:ANSWERED]), media_type=MediaType.JSON, headers={})


def _ids(body: bytes) -> list[int]:
    try:
        ids = list(dict.fromkeys(msgspec.json.decode(body, type=list[int])))
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise InvalidRequest("the body is no JSON array of jobs' numbers") from error
    if len(ids) > MOST:
        raise TooLarge(f"one request waits for at most {MOST} jobs, this one for {len(ids)}", hint="send several")
    if any(not 0 < job_id <= LARGEST_ID for job_id in ids):
        raise InvalidRequest("a job's number is over 0")
    return ids


async def _answer(service: Service, ended: list[int]) -> AsyncIterator[bytes]:
    """In pieces: what a hundred jobs printed is never in memory at once."""
    missing: list[int] = []
    comma = b""
    yield b'{"jobs":['
    for at, job_id in enumerate(ended):
        if at % TURN == TURN - 1:
            await asyncio.sleep(0)
        try:
            yield comma + _encode(await service.view(await service.store.job(service.tenant, job_id)))
        except JobNotFound:
            missing.append(job_id)
        else:
            comma = b","
    yield b'],"missing":' + _encode(missing) + b"}"
