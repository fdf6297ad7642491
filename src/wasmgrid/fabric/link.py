"""One nats-py client, from its connection to its loss. What nats-py does in its own way is dealt with here.

Its own reconnection is off: it gives up where the port or the credential changed, and drops what was asked meanwhile.
`Fabric` opens a new link instead.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
import ssl
from collections.abc import Coroutine

import nats.errors
import structlog
from nats.aio.client import Client
from nats.errors import SlowConsumerError

from wasmgrid.core.errors import Unreachable
from wasmgrid.core.wire import FRAME_BYTES
from wasmgrid.home import FabricEndpoint

MIN_PAYLOAD_BYTES = FRAME_BYTES + (64 << 10)  # a frame of a blob and what is around it
_CLOSE_S = 2.0
_FAILED_CLOSE_S = 0.2  # nothing is to be flushed, and nats-py waits for an end that a failed handshake never sees
_NEVER_S = 10 * 365 * 86400  # nats-py's pings: `Fabric` probes by itself, because a cancelled ping ends its read loop

_UNTRUSTED = "its certificate is not trusted"
_NOISE = "returning true from eof_received() has no effect when using ssl"  # nats-py's way to TLS; harmless

log = structlog.get_logger()
logging.getLogger("asyncio").addFilter(lambda record: record.msg != _NOISE)


class Link(Client):
    """nats-py's client, which sends a credential over TLS alone where TLS is `wanted`.

    By itself it does what the server's first line says, and that line is not protected: whoever stands between could
    leave TLS out.
    """

    def __init__(self, *, wanted: bool) -> None:
        super().__init__()
        self._wanted = wanted
        self.introduced = False  # the credential was sent

    def _connect_command(self) -> bytes:
        if self._wanted and not self._server_info.get("tls_required"):
            raise nats.errors.Error("TLS is wanted, and the server has none")
        self.introduced = True
        return bytes(super()._connect_command())


async def open_any(
    endpoint: FabricEndpoint, *, name: str, lost: asyncio.Event, last: str | None, patience_s: float
) -> tuple[Client, str]:
    """Connect to one of the endpoint's servers, in random order but for `last`, which comes last; it and its URL.

    Each has `patience_s` to let us in: one that hangs or is cut off does not keep us from the others. Raises
    `Unreachable`, with every server's reason, where none does.
    """
    servers = random.sample(endpoint.servers, len(endpoint.servers))
    servers.sort(key=lambda server: server == last)
    reasons = []
    for server in servers:
        try:
            return await open_link(endpoint, server, name=name, lost=lost, patience_s=patience_s), server
        except Unreachable as error:
            reasons.append(error.message)
    said = "; ".join(reasons)
    if "authorization violation" in said.lower():
        raise Unreachable(said, hint="the credential is refused: was it revoked, or is it another grid's?")
    if _UNTRUSTED in said:
        raise Unreachable(said, hint="another grid's, or its authority was made anew: then take a new credential")
    raise Unreachable(said, hint="is its server running? wasmgrid up, or check the address")


async def open_link(
    endpoint: FabricEndpoint, server: str, *, name: str, lost: asyncio.Event, patience_s: float
) -> Client:
    """Connect once, to this server. `lost` is set when the connection may be gone (see `Client.is_connected`).

    Raises `Unreachable` where nothing answers, the credential is refused, TLS is wanted and the server has none or
    another authority's certificate, or the server's payload limit is too low.
    """

    errors: list[Exception] = []

    async def on_error(error: Exception) -> None:
        errors[:] = [error]
        if isinstance(error, SlowConsumerError):
            log.error("fabric: messages dropped, too many were waiting", subject=error.subject)
        if "permissions violation" in str(error).lower():
            log.error("fabric: not permitted with this credential", name=name, error=_reason(error))
        else:
            lost.set()

    async def on_end() -> None:
        lost.set()

    client = Link(wanted=endpoint.ca is not None or server.startswith("tls://"))
    try:
        await _bounded(
            client.connect(
                servers=[server],
                user=endpoint.user,
                password=endpoint.password,
                nkeys_seed_str=endpoint.seed,
                tls=ssl.create_default_context(cadata=endpoint.ca) if endpoint.ca else None,
                name=name,
                error_cb=on_error,
                disconnected_cb=on_end,
                closed_cb=on_end,
                allow_reconnect=False,
                max_reconnect_attempts=1,  # 0 would mean: for ever, inside this call
                reconnect_time_wait=0,
                connect_timeout=math.ceil(patience_s),
                ping_interval=_NEVER_S,
                skip_subject_validation=True,  # they are made by `subjects`, or came in from the server
                flusher_queue_size=0,  # unbounded: publish never waits there, where it would swallow a cancellation
                pending_size=0,  # likewise; `Fabric` bounds what waits to be sent
            ),
            patience_s,
        )
        if client.max_payload < MIN_PAYLOAD_BYTES:
            raise Unreachable(
                f"the nats-server at {server} takes messages of {client.max_payload} bytes at most",
                hint=f"set max_payload to 1MB there (at least {MIN_PAYLOAD_BYTES})",
            )
    except BaseException as error:
        why = errors[0] if errors and isinstance(error, nats.errors.NoServersError) else error  # it names no reason
        await close_link(client, wait_s=_FAILED_CLOSE_S)
        if isinstance(error, (OSError, TimeoutError, nats.errors.Error, ValueError)):
            reason = _reason(why)
            if client.introduced and isinstance(why, (BrokenPipeError, ConnectionResetError)):
                reason = f"authorization violation ({reason})"  # it hangs up faster than its word about it arrives
            raise Unreachable(f"no fabric at {server}: {reason}") from why
        raise
    return client


async def close_link(client: Client, *, wait_s: float = _CLOSE_S) -> None:
    """Close without waiting long for a peer that takes nothing any more."""
    with contextlib.suppress(TimeoutError, OSError, nats.errors.Error):
        await _bounded(client.close(), wait_s)


async def _bounded(work: Coroutine[None, None, None], wait_s: float) -> None:
    """Wait for work of nats-py for so long (`TimeoutError`), and no longer when cancelled.

    It is a task of its own because nats-py swallows cancellations here and there: whoever waited would never know.
    """
    task = asyncio.create_task(work)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())  # seen, whoever else looks
    try:
        await asyncio.wait([task], timeout=wait_s)
        if not task.done():
            raise TimeoutError
        task.result()
    finally:
        task.cancel()


def _reason(error: BaseException) -> str:
    """In words for a person."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{_UNTRUSTED} ({error.verify_message})"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[:1].lower() + error.strerror[1:]
    return str(error).removeprefix("nats: ").strip("'") or type(error).__name__
