"""One nats-py client, from its connection to its loss. What nats-py does in its own way is dealt with here.

Its own reconnection is off: it gives up where the port or the credential changed, and drops what was asked meanwhile.
`Fabric` opens a new link instead.
"""

from __future__ import annotations

import asyncio
import contextlib

import nats.errors
import structlog
from nats.aio.client import Client
from nats.errors import SlowConsumerError

from wasmgrid.core.errors import Unreachable
from wasmgrid.core.wire import FRAME_BYTES
from wasmgrid.home import FabricEndpoint

MIN_PAYLOAD_BYTES = FRAME_BYTES + (64 << 10)  # a frame of a blob and what is around it
_CONNECT_S = 5.0
_CLOSE_S = 2.0
_NEVER_S = 10 * 365 * 86400  # nats-py's pings: `Fabric` probes by itself, because a cancelled ping ends its read loop

log = structlog.get_logger()


async def open_link(endpoint: FabricEndpoint, *, name: str, lost: asyncio.Event) -> Client:
    """Connect once. `lost` is set when the connection may be gone (see `Client.is_connected`).

    Raises `Unreachable` where nothing answers, the credential is refused, or the server's payload limit is too low.
    """

    errors: list[Exception] = []

    async def on_error(error: Exception) -> None:
        errors[:] = [error]
        if isinstance(error, SlowConsumerError):
            log.error("fabric: messages dropped, too many were waiting", subject=error.subject)
        lost.set()

    async def on_end() -> None:
        lost.set()

    client = Client()
    try:
        async with asyncio.timeout(_CONNECT_S):
            await client.connect(
                servers=[part.strip() for part in endpoint.url.split(",")],
                user=endpoint.user,
                password=endpoint.password,
                name=name,
                error_cb=on_error,
                disconnected_cb=on_end,
                closed_cb=on_end,
                allow_reconnect=False,
                max_reconnect_attempts=1,  # 0 would mean: for ever, inside this call
                reconnect_time_wait=0,
                connect_timeout=2,
                ping_interval=_NEVER_S,
                flusher_queue_size=0,  # unbounded: publish never waits there, where it would swallow a cancellation
                pending_size=0,  # likewise; `Fabric` bounds what waits to be sent
            )
        if client.max_payload < MIN_PAYLOAD_BYTES:
            raise Unreachable(
                f"the nats-server at {endpoint.url} takes messages of {client.max_payload} bytes at most",
                hint=f"set max_payload to 1MB there (at least {MIN_PAYLOAD_BYTES})",
            )
    except BaseException as error:
        await close_link(client)
        if isinstance(error, (OSError, TimeoutError, nats.errors.Error, ValueError)):
            raise Unreachable(
                f"no fabric at {endpoint.url}: {_reason(errors[0] if errors else error)}",
                hint="is its server running? wasmgrid up, or check --nats",
            ) from error
        raise
    return client


async def close_link(client: Client) -> None:
    """Close without waiting long for a peer that takes nothing any more."""
    with contextlib.suppress(TimeoutError, OSError, nats.errors.Error):
        async with asyncio.timeout(_CLOSE_S):
            await client.close()


def _reason(error: BaseException) -> str:
    return str(error).removeprefix("nats: ") or type(error).__name__
