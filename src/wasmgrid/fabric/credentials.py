"""Credentials for the fabric: a key pair made where it is used. The seed stays in a private file; NATS knows the key.

Nobody is told the seed, the server that admits the credential included: it gets the public key, and gives the address.
"""

from __future__ import annotations

import base64
import secrets
import sys
from pathlib import Path
from typing import Literal

import msgspec
import nkeys

from wasmgrid.core.errors import InvalidField, NotFound, Unavailable
from wasmgrid.core.worker import check_id
from wasmgrid.home import FabricEndpoint, write_atomically

Kind = Literal["worker", "server"]
STDIN = "-"
_MOST_BYTES = 64 << 10


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """Who one is on the fabric (`name`: letters, digits, - and _) and how to get there.

    `kind`: worker or server. `nats_url` may name several servers. `ca` is PEM text, None where there is no TLS.
    """

    name: str
    kind: Kind
    nats_url: str
    seed: str
    ca: str | None = None

    def __repr__(self) -> str:
        return f"Credential(name={self.name!r}, kind={self.kind!r}, nats_url={self.nats_url!r})"

    @property
    def endpoint(self) -> FabricEndpoint:
        """Where this credential connects."""
        return FabricEndpoint(url=self.nats_url, seed=self.seed, ca=self.ca)

    def text(self) -> str:
        """What its file holds: one JSON object."""
        return msgspec.json.format(msgspec.json.encode(self)).decode() + "\n"

    def write(self, path: Path) -> None:
        """Write the file, 0600; raises `Unavailable`."""
        try:
            write_atomically(path, self.text(), mode=0o600)
        except OSError as error:
            raise Unavailable(f"the credential cannot be written to {path}: {error.strerror}") from error


def make() -> tuple[str, str]:
    """A new (seed, public key)."""
    seed: bytes = nkeys.encode_seed(secrets.token_bytes(32), nkeys.PREFIX_BYTE_USER)
    return seed.decode(), public_key(seed.decode())


def public_key(seed: str) -> str:
    """The public key of a seed; raises `InvalidField`."""
    if not _whole(seed, length=58):
        raise InvalidField("that is no seed of an nkey", field="seed")
    try:
        key: str = nkeys.from_seed(bytearray(seed.encode())).public_key.decode()
    except nkeys.NkeysError as error:
        raise InvalidField("that is no seed of an nkey", field="seed") from error
    return check_public_key(key)


def check_public_key(text: str) -> str:
    """`text` where it is the public key of a user (U..., 56 characters), else `InvalidField`."""
    if not (_whole(text, length=56) and text[0] == "U"):
        raise InvalidField("that is no public nkey of a user: U and 55 letters or digits", field="public_key")
    return text


def _whole(text: str, *, length: int) -> bool:
    """Whether it is base32 of that length whose checksum is right; nkeys itself takes what was cut off or mistyped."""
    try:
        raw = base64.b32decode(text + "=" * (-len(text) % 8)) if len(text) == length else b""
    except ValueError:
        return False
    return bool(raw) and nkeys.crc16(bytearray(raw[:-2])) == int.from_bytes(raw[-2:], "little")


def read(path: Path | str) -> Credential:
    """The credential in a file, or on standard input for `-`. Raises `NotFound`, `Unavailable` or `InvalidField`."""
    try:
        if str(path) == STDIN:
            data = sys.stdin.buffer.read(_MOST_BYTES)
        else:
            with Path(path).open("rb") as file:
                data = file.read(_MOST_BYTES)
    except FileNotFoundError:
        raise NotFound(f"no credential at {path}", hint="make one: wasmgrid credential worker NAME -o FILE") from None
    except OSError as error:
        raise Unavailable(f"the credential in {path} cannot be read: {error.strerror}") from error
    try:
        found = msgspec.json.decode(data, type=Credential)
    except msgspec.DecodeError as error:
        place = "standard input" if str(path) == STDIN else path
        raise InvalidField(f"{place} holds no credential: {error}", field="credential") from error
    check_id(found.name, field="credential")
    public_key(found.seed)
    return found
