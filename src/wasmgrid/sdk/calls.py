"""Every call of the HTTP API, described once: method, path, body, and what the answer is. Clients only send them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from wasmgrid.core.job import JobSpec
from wasmgrid.core.overview import Overview
from wasmgrid.sdk import views
from wasmgrid.sdk.blobs import Blob
from wasmgrid.sdk.multipart import submission
from wasmgrid.sdk.request import Call as Call  # noqa: PLC0414 -- said as calls.Call
from wasmgrid.sdk.request import Download as Download  # noqa: PLC0414 -- said as calls.Download
from wasmgrid.sdk.request import JobId as JobId  # noqa: PLC0414 -- said as calls.JobId
from wasmgrid.sdk.request import Request as Request  # noqa: PLC0414 -- said as calls.Request
from wasmgrid.sdk.request import Stream as Stream  # noqa: PLC0414 -- said as calls.Stream
from wasmgrid.sdk.request import json_of, of_job, understood, waiting
from wasmgrid.sdk.sse import Event

T = TypeVar("T")

WAIT_S = 30.0  # one long poll; a client asks again for as long as it wants to wait


class LogChunk(msgspec.Struct, frozen=True, kw_only=True):
    """Output from `offset` on, where `stream` is stdout or stderr.

    `restart`: another attempt began (the worker was lost, say), whose output comes from its beginning. `end`: no more
    will come; `state` is the job's. `id` is what `logs` takes to go on behind this chunk.
    """

    stream: str
    offset: int = 0
    data: bytes = b""
    state: str = ""
    id: str = ""


def submit(spec: JobSpec, *, wait_s: float = 0.0) -> Call[views.Job]:
    """Submit a job; the answer comes when it is finished, or after `wait_s`. Safe to repeat: it carries a key."""
    if spec.idempotency_key is None:
        spec = msgspec.structs.replace(spec, idempotency_key=os.urandom(16).hex())
    body, content_type = submission(spec)
    return Call(
        method="POST",
        path="/v1/jobs",
        query=waiting(wait_s),
        body=body,
        content_type=content_type,
        wait_s=wait_s,
        decode=json_of(views.Job),
    )


def job(job_id: JobId, *, wait_s: float = 0.0) -> Call[views.Job]:
    """One job; with `wait_s` the answer comes when it is finished, or after that."""
    return Call(method="GET", path=of_job(job_id), query=waiting(wait_s), wait_s=wait_s, decode=json_of(views.Job))


def raw(call: Call[Any]) -> Call[bytes]:
    """The same call, answered by the server's own JSON: what `--json` prints."""
    return replace(call, decode=lambda body: body, absent=None)


def jobs(
    *,
    state: str | Sequence[str] | None = None,
    name: str | None = None,
    search: str | None = None,
    language: str | None = None,
    worker: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    sort: str | None = None,
    limit: int = 20,
    cursor: str | int | None = None,
) -> Call[views.JobPage]:
    """Some jobs; `state` is one or several, `search` a number or a part of a name or a language.

    `since` and `until` bound the submission, `sort` is newest (where it is left out), oldest or finished.
    """
    query = {
        "state": state, "name": name, "search": search, "language": language, "worker": worker,
        "since": _moment(since), "until": _moment(until), "sort": sort, "limit": limit, "cursor": cursor,
    }  # fmt: skip
    return Call(method="GET", path="/v1/jobs", query=query, decode=json_of(views.JobPage))


def cancel(job_id: JobId) -> Call[views.Job | None]:
    """Ask for a job's end; it is finished soon after."""
    return Call(method="POST", path=of_job(job_id, "cancel"), decode=_optional_json(views.Job))


def why(job_id: JobId) -> Call[views.Why]:
    """Why a job is where it is, per worker."""
    return Call(method="GET", path=of_job(job_id, "why"), decode=json_of(views.Why))


def attempts(job_id: JobId, *, cursor: str | None = None) -> Call[views.Attempts]:
    """Attempts of a job that ended, a page of them."""
    query = {"cursor": cursor}
    return Call(method="GET", path=of_job(job_id, "attempts"), query=query, decode=json_of(views.Attempts))


def diagnostics(job_id: JobId) -> Call[str]:
    """What the compiler said, verbatim."""
    return Call(method="GET", path=of_job(job_id, "diagnostics"), decode=lambda body: body.decode("utf-8", "replace"))


def artifacts(job_id: JobId, *, index: int | None = None) -> Call[views.Artifacts]:
    """The files that a job's task left; `index` says which task's, where there are many."""
    query = {"index": index}
    return Call(method="GET", path=of_job(job_id, "artifacts"), query=query, decode=json_of(views.Artifacts))


def workers() -> Call[views.Workers]:
    """All workers."""
    return Call(method="GET", path="/v1/workers", decode=json_of(views.Workers))


def worker_action(worker_id: str, action: str) -> Call[views.Worker]:
    """`drain`, `cordon` or `uncordon` a worker; it as it is then."""
    return Call(method="POST", path=f"/v1/workers/{quote(worker_id, safe='')}/{action}", decode=json_of(views.Worker))


def join() -> Call[views.Join]:
    """How workers reach this grid's fabric."""
    return Call(method="GET", path="/v1/join", decode=json_of(views.Join))


def credentials() -> Call[views.Credentials]:
    """Every credential that was made, the revoked ones too; never a secret."""
    return Call(method="GET", path="/v1/credentials", decode=json_of(views.Credentials))


def add_credential(name: str, kind: str, public_key: str) -> Call[views.Join]:
    """Register the public half of a credential (`kind` is worker or server); how its holder reaches the fabric."""
    body = msgspec.json.encode({"kind": kind, "name": name, "public_key": public_key})
    return Call(method="POST", path="/v1/credentials", body=body, repeatable=False, decode=json_of(views.Join))


def revoke_credential(name: str) -> Call[None]:
    """End a credential: whoever holds it is cut off."""
    return Call(method="DELETE", path=f"/v1/credentials/{quote(name, safe='')}", decode=lambda _: None)


def authorization() -> Call[str]:
    """What a NATS of one's own includes as its authorization: who is let in, and to what."""
    return Call(method="GET", path="/v1/credentials/authorization", decode=lambda body: body.decode("utf-8", "replace"))


def grid() -> Call[views.Grid]:
    """The server that answers, and which one leads."""
    return Call(method="GET", path="/v1/grid", decode=json_of(views.Grid))


def overview() -> Call[Overview]:
    """Jobs, queue, workers and builds in numbers, and a quarter of an hour of them as a series."""
    return Call(method="GET", path="/v1/overview", decode=json_of(Overview))


def toolchains() -> Call[views.Toolchains]:
    """What the workers can compile."""
    return Call(method="GET", path="/v1/toolchains", decode=json_of(views.Toolchains))


def version() -> Call[views.Version]:
    """The server's version."""
    return Call(method="GET", path="/v1/version", decode=json_of(views.Version))


def make_sign_in() -> Call[views.SignInLink]:
    """A link that signs one browser in to the dashboard, once."""
    return Call(method="POST", path="/v1/sign-ins", decode=json_of(views.SignInLink))


def end_sign_ins() -> Call[views.SignedOut]:
    """Sign every browser out, and void every link."""
    return Call(method="DELETE", path="/v1/sign-ins", decode=json_of(views.SignedOut))


def ready() -> Call[None]:
    """Answers where the server is ready for work, else fails."""
    return Call(method="GET", path="/readyz", decode=lambda _: None)


def prune(policy: Mapping[str, Any]) -> Call[dict[str, Any]]:
    """Remove what is old; the answer counts what went."""
    return Call(method="POST", path="/v1/prune", body=msgspec.json.encode(policy), decode=json_of(dict[str, Any]))


def has_blob(kind: str, sha256: str) -> Call[bool]:
    """Whether the store holds a module or an input (`kind` is modules or inputs)."""
    return Call(method="HEAD", path=f"/v1/{kind}/{sha256}", decode=lambda _: True, absent=False)


def put_blob(kind: str, blob: Blob) -> Call[None]:
    """Upload a module or an input (`kind` is modules or inputs)."""
    return Call(
        method="PUT",
        path=f"/v1/{kind}/{blob.sha256}",
        body=blob,
        content_type="application/wasm" if kind == "modules" else "application/octet-stream",
        wait_s=WAIT_S,
        decode=lambda _: None,
    )


def logs(job_id: JobId, *, follow: bool = True, after: str | None = None, index: int | None = None) -> Stream[LogChunk]:
    """Output from its beginning or `after` a chunk's id, as it comes where `follow`; the last chunk is `end`."""
    query = {"follow": str(follow).lower(), "index": index}
    path = of_job(job_id, "logs")
    return Stream(method="GET", path=path, query=query, last_event_id=after or None, decode=_log_chunk)


def events(job_id: JobId) -> Stream[views.Job]:
    """The job now, and again after every change, until it is finished."""
    return Stream(method="GET", path=of_job(job_id, "events"), decode=_job_event)


def module(job_id: JobId) -> Download:
    """The module that ran."""
    return Download(method="GET", path=of_job(job_id, "module"))


def output(job_id: JobId, stream: str, *, index: int | None = None) -> Download:
    """All that was kept of stdout or stderr (`stream`)."""
    return Download(method="GET", path=of_job(job_id, stream), query={"index": index})


def read(download: Download) -> Call[bytes]:
    """The same bytes as an answer, all of them in memory."""
    return Call(method=download.method, path=download.path, query=download.query, decode=lambda body: body)


def artifact(job_id: JobId, path: str, *, index: int | None = None) -> Download:
    """One file that a job's task left."""
    return Download(method="GET", path=of_job(job_id, "artifacts", *path.split("/")), query={"index": index})


def input_of(job_id: JobId, number: int) -> Download:
    """One input of a job, as it was sent: a file, or a tar archive."""
    return Download(method="GET", path=of_job(job_id, "inputs", str(number)))


def stdin(job_id: JobId) -> Download:
    """The standard input of a job, as it was sent."""
    return Download(method="GET", path=of_job(job_id, "stdin"))


def _moment(when: datetime | None) -> str | None:
    return None if when is None else when.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _optional_json(kind: type[T]) -> Callable[[bytes], T | None]:
    return lambda body: understood(body, kind) if body.strip() else None


class _LogData(msgspec.Struct, frozen=True, kw_only=True):
    offset: int = 0
    data: str = ""
    base64: bytes | None = None
    state: str | None = None


def _log_chunk(event: Event) -> LogChunk | None:
    if event.type not in {"stdout", "stderr", "restart", "end"}:
        return None
    said = understood(event.data, _LogData)
    data = said.base64 if said.base64 is not None else said.data.encode()
    return LogChunk(stream=event.type, offset=said.offset, data=data, state=said.state or "", id=event.id)


def _job_event(event: Event) -> views.Job | None:
    return understood(event.data, views.Job) if event.type == "job" else None
