"""Who is let into the fabric, and how they get there: credentials in the store, told to our own NATS if we run one."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from pathlib import Path
from typing import Protocol

import msgspec
import structlog

from wasmgrid.core.errors import InvalidField, NotFound, WasmgridError
from wasmgrid.fabric import authorization
from wasmgrid.fabric.authorization import User
from wasmgrid.fabric.credentials import check_public_key, public_key, read
from wasmgrid.store import Store
from wasmgrid.store.rows import CredentialRow

RESERVED = frozenset({"authorization"})  # /v1/credentials/authorization is a page
LOOK_EVERY_S = 2.0  # what another server was told is in force here by then

log = structlog.get_logger()


class Door(Protocol):
    """A NATS server of our own."""

    async def reload(self, users: list[User]) -> None: ...


class Join(msgspec.Struct, frozen=True, kw_only=True):
    """How workers reach the fabric. `ca` (PEM): its servers have TLS, by this authority; `fingerprint`: its sha256."""

    nats_url: str
    ca: str | None = None
    fingerprint: str | None = None


class Admission:
    """The grid's credentials. `door` is our own NATS; without one, NATS is configured by whoever runs it."""

    def __init__(self, store: Store, *, nats_url: str, ca: str | None = None, door: Door | None = None) -> None:
        self.join = Join(nats_url=nats_url, ca=ca, fingerprint=fingerprint(ca) if ca is not None else None)
        self._store = store
        self._door = door
        self._applied: list[User] = []
        self._applying = asyncio.Lock()

    async def credentials(self) -> list[CredentialRow]:
        """Every credential, the revoked ones too."""
        return await self._store.credentials()

    async def add(self, name: str, kind: str, public_key: str) -> None:
        """Admit a key. Raises `InvalidField` for a name that is taken, or a key that is none."""
        if name in RESERVED:
            raise InvalidField(f"no credential can be named {name}", hint="give it another name", field="name")
        await self._store.add_credential(name, kind, check_public_key(public_key))
        await self.apply()

    async def know(self, credential: Path) -> None:
        """Count the credential that this server came with among all: a list without it would lock the server out."""
        mine = read(credential)
        key = public_key(mine.seed)
        if key in {row.public_key for row in await self.credentials()}:
            return
        try:
            await self._store.add_credential(mine.name, mine.kind, key)
        except InvalidField as error:  # another has its name: it works, and is not listed
            log.warning("this server's credential is not listed", error=str(error))

    async def revoke(self, name: str) -> None:
        """Admit it no more, and cut off whoever came with it. Raises `NotFound`."""
        if all(row.name != name or row.revoked_at is not None for row in await self.credentials()):
            raise NotFound(f"there is no credential {name[:100]!r}", hint="list: wasmgrid credential list")
        await self._store.revoke_credential(name)
        await self.apply()

    async def authorization(self) -> str:
        """What a NATS of one's own includes as its authorization."""
        return authorization.text(await self._users())

    async def apply(self) -> None:
        """Tell our own NATS, where it does not know yet."""
        if self._door is None:
            return
        async with self._applying:
            users = await self._users()
            if users != self._applied:
                await self._door.reload(users)
                self._applied = users

    async def follow(self) -> None:
        """Keep our own NATS up to date with what other servers are told."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                await self.apply()
            except WasmgridError as error:
                log.warning("credentials are not brought to NATS", error=str(error))

    async def _users(self) -> list[User]:
        return [
            User(name=row.name, kind="server" if row.kind == "server" else "worker", public_key=row.public_key)
            for row in await self.credentials()
            if row.revoked_at is None
        ]


def fingerprint(pem: str) -> str:
    """The sha256 of a certificate, as other programs show it."""
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest().upper()
    return ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))
