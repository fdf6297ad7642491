"""One connection: a credential goes to whom it is meant for, and to nobody in between."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from wasmgrid.core.errors import Unreachable
from wasmgrid.fabric import certificates, credentials
from wasmgrid.fabric.embedded import EmbeddedNats
from wasmgrid.fabric.link import close_link, open_any, open_link
from wasmgrid.home import FabricEndpoint, Home

WAIT_S = 30.0
INFO = {"server_id": "x", "version": "2.15.1", "max_payload": 1 << 20, "auth_required": True, "headers": True}


async def _open(endpoint: FabricEndpoint, *, patience_s: float = WAIT_S) -> None:
    link = await open_link(endpoint, endpoint.servers[0], name="test", lost=asyncio.Event(), patience_s=patience_s)
    await close_link(link)


@asynccontextmanager
async def _secured(path: Path) -> AsyncIterator[FabricEndpoint]:
    nats = EmbeddedNats(Home(path / "home").create(), listen="0.0.0.0:0")
    try:
        yield await nats.start()
    finally:
        await nats.stop()


@asynccontextmanager
async def _pretender() -> AsyncIterator[tuple[str, list[bytes]]]:
    """Someone in between, who leaves TLS out of the first line; what it is told."""
    told: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"INFO {json.dumps({**INFO, 'nonce': 'sign me'})}\r\n".encode())
        told.append(await reader.read(4096))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", told


@pytest.mark.parametrize("with_seed", [True, False])
@pytest.mark.parametrize("scheme", ["tls", "nats"])
def test_no_credential_goes_to_one_who_leaves_tls_out(tmp_path: Path, scheme: str, with_seed: bool) -> None:
    ca = certificates.ensure(Home(tmp_path), []).ca_pem

    async def test() -> None:
        async with _pretender() as (address, told):
            endpoint = FabricEndpoint(url=f"{scheme}://{address}", user="u", password="very secret", ca=ca)
            if with_seed:
                endpoint = FabricEndpoint(url=f"{scheme}://{address}", seed=credentials.make()[0], ca=ca)
            with pytest.raises(Unreachable, match="TLS is wanted"):
                await _open(endpoint)
            without_ca = dataclasses.replace(endpoint, ca=None)
            if scheme == "tls":
                with pytest.raises(Unreachable, match="TLS is wanted"):
                    await _open(without_ca)
        assert not b"".join(told)

    asyncio.run(test())


def test_a_server_with_another_authoritys_certificate_is_refused(tmp_path: Path) -> None:
    other = certificates.ensure(Home(tmp_path / "other"), []).ca_pem

    async def test() -> None:
        async with _secured(tmp_path) as endpoint:
            await _open(endpoint)
            for ca in (other, None):
                with pytest.raises(Unreachable, match=r"(?i)certificate"):
                    await _open(dataclasses.replace(endpoint, ca=ca))

    asyncio.run(test())


def test_a_name_that_is_not_in_the_certificate_is_refused(tmp_path: Path) -> None:
    async def test() -> None:
        async with _secured(tmp_path) as endpoint:
            await _open(dataclasses.replace(endpoint, url=endpoint.url.replace("127.0.0.1", "localhost")))
            with pytest.raises(Unreachable, match=r"(?i)certificate"):
                await _open(dataclasses.replace(endpoint, url=endpoint.url.replace("127.0.0.1", "127.0.0.2")))

    asyncio.run(test())


def test_one_that_says_nothing_is_given_up_and_another_is_taken(tmp_path: Path) -> None:
    async def test() -> None:
        nats = EmbeddedNats(Home(tmp_path / "home").create())
        endpoint = await nats.start()
        never = asyncio.Event()

        async def say_nothing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await never.wait()
            writer.close()

        silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
        silent_url = f"nats://127.0.0.1:{silent.sockets[0].getsockname()[1]}"
        both = dataclasses.replace(endpoint, url=f"{silent_url}, {endpoint.url}")
        with pytest.raises(Unreachable, match="no answer in time"):
            await _open(dataclasses.replace(endpoint, url=silent_url), patience_s=0.1)
        for last in (silent_url, endpoint.url, None):  # none keeps us from the one that answers
            client, server = await open_any(both, name="test", lost=asyncio.Event(), last=last, patience_s=1.0)
            assert server == endpoint.url
            await close_link(client)
        never.set()
        silent.close()
        await silent.wait_closed()
        await nats.stop()

    asyncio.run(test())


def test_every_servers_reason_is_given() -> None:
    async def test() -> None:
        endpoint = FabricEndpoint(url="nats://127.0.0.1:1,nats://127.0.0.1:2")
        with pytest.raises(Unreachable, match=r"127.0.0.1:[12]: .*; no fabric at nats://127.0.0.1:[12]: "):
            await open_any(endpoint, name="test", lost=asyncio.Event(), last=None, patience_s=WAIT_S)

    asyncio.run(test())


def test_a_refused_credential_is_told_from_an_absent_server(tmp_path: Path) -> None:
    async def test() -> None:
        async with _secured(tmp_path) as endpoint:
            stranger = dataclasses.replace(endpoint, user=None, password=None, seed=credentials.make()[0])
            absent = FabricEndpoint(url="nats://127.0.0.1:1")
            for tried, hint in ((stranger, "was it revoked"), (absent, "is its server running")):
                with pytest.raises(Unreachable) as error:
                    await open_any(tried, name="test", lost=asyncio.Event(), last=None, patience_s=WAIT_S)
                assert hint in (error.value.hint or "")

    asyncio.run(test())
