"""The parts of a server that reach other processes: its fabric, and the store, which may be away for a while."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import structlog

from wasmgrid.core.errors import InvalidField, TimedOutWaiting, Unavailable, Unreachable
from wasmgrid.home import FabricEndpoint, Home
from wasmgrid.server.options import ServeOptions

if TYPE_CHECKING:  # imported for real when a server starts
    from wasmgrid.fabric.certificates import Certificates
    from wasmgrid.fabric.connection import Fabric
    from wasmgrid.fabric.embedded import EmbeddedNats
    from wasmgrid.store import Store

RETRY_S = 1.0
FABRIC_S = 10.0  # our own NATS lets us in by then

log = structlog.get_logger()


class Reach:
    """The fabric as this server uses it. `certificates` are given where it listens to other machines."""

    def __init__(
        self, endpoint: FabricEndpoint, *, nats: EmbeddedNats | None, certificates: Certificates | None, advertised: str
    ) -> None:
        self.endpoint = endpoint
        self.nats = nats
        self.certificates = certificates
        self.nats_url = endpoint.url
        if nats is not None and certificates is not None:
            host = f"[{advertised}]" if ":" in advertised else advertised
            self.nats_url = f"tls://{host}:{nats.port}"


async def start_fabric(options: ServeOptions, stack: AsyncExitStack) -> Reach:
    """The fabric that was named, else our own nats-server. It is in fabric.json when this returns."""
    certificates = await _certificates(options)
    named = _named(options)
    if named is not None:
        options.home.write_fabric(named)
        return Reach(named, nats=None, certificates=certificates, advertised=options.advertised)
    from wasmgrid.fabric.embedded import EmbeddedNats  # noqa: PLC0415 -- only where we run one

    listen = None
    if options.listen is not None:
        host = f"[{options.listen}]" if ":" in options.listen else options.listen
        listen = f"{host}:{options.fabric_port or 0}"
    nats = EmbeddedNats(options.home, listen=listen, certificates=certificates)
    stack.push_async_callback(nats.stop)
    return Reach(await nats.start(), nats=nats, certificates=certificates, advertised=options.advertised)


async def open_store(options: ServeOptions, stack: AsyncExitStack, stop: asyncio.Event) -> Store | None:
    """The store. One that is shared may be away when a server starts: it is waited for until `stop`, then None."""
    from wasmgrid.store import Store  # noqa: PLC0415 -- SQLAlchemy is read when a server really starts

    said = ""
    while not stop.is_set():
        try:
            store = await Store.open(options.home.path, url=options.store_url)
        except (Unavailable, Unreachable, TimedOutWaiting) as error:
            if options.alone:
                raise
            if error.message != said:
                said = error.message
                print(f"waiting for the store: {error.message}", file=sys.stderr, flush=True)
                log.info("the store is away", error=error.message)
        else:
            stack.push_async_callback(store.close)
            return store
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), RETRY_S)
    return None


async def connect_fabric(
    home: Home,
    reach: Reach,
    server_id: str,
    stack: AsyncExitStack,
    stop: asyncio.Event,
    on_reconnect: Callable[[], Awaitable[None]],
) -> Fabric | None:
    """The connection. A NATS that is not ours may be away when a server starts: it is waited for until `stop`."""
    from wasmgrid.fabric.connection import Fabric  # noqa: PLC0415 -- as above

    connecting = asyncio.create_task(
        Fabric.connect(
            lambda: home.fabric() or reach.endpoint,
            name=server_id,
            on_reconnect=on_reconnect,
            on_waiting=_say_waiting if reach.nats is None else None,
            wait_s=None if reach.nats is None else FABRIC_S,
        )
    )
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({connecting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not connecting.done():
            return None
        fabric = connecting.result()
    finally:
        for task in (connecting, stopping):
            task.cancel()
        await asyncio.gather(connecting, stopping, return_exceptions=True)
    stack.push_async_callback(fabric.close)
    return fabric


def _say_waiting(why: str) -> None:
    print(f"waiting for the fabric: {why}", file=sys.stderr, flush=True)


async def _certificates(options: ServeOptions) -> Certificates | None:
    if options.listen is None:
        return None
    from wasmgrid.fabric import certificates  # noqa: PLC0415 -- 60 ms, which a grid without TLS does not pay

    return await asyncio.to_thread(certificates.ensure, options.home, options.names)


def _named(options: ServeOptions) -> FabricEndpoint | None:
    """The fabric that somebody else runs, where one was named."""
    if options.nats_credential is not None:
        from wasmgrid.fabric import credentials  # noqa: PLC0415 -- only where there is one

        credential = credentials.read(options.nats_credential)
        if credential.kind != "server":
            raise InvalidField(
                f"{credential.name} is the credential of a {credential.kind}",
                hint="make one for a server: wasmgrid credential server NAME",
                field="nats_credential",
            )
        url = options.nats_url or credential.nats_url
        return FabricEndpoint(url=FabricEndpoint.parse(url).url, seed=credential.seed, ca=credential.ca)
    return FabricEndpoint.parse(options.nats_url) if options.nats_url is not None else None
