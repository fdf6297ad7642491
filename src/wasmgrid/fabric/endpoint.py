"""A fabric as a person names it."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from wasmgrid.core.errors import InvalidField
from wasmgrid.home import FabricEndpoint


def parse_nats(url: str) -> FabricEndpoint:
    """`nats://[USER:PASSWORD@]HOST:PORT[,...]` with the credential taken out of the URL; raises `InvalidField`."""
    user, password = None, None
    servers = []
    for part in url.split(","):
        parsed = urlsplit(part.strip() if "://" in part else f"nats://{part.strip()}")
        if parsed.scheme not in {"nats", "tls"} or not parsed.hostname:
            raise InvalidField("the fabric is named nats://HOST:PORT, several comma-separated", field="nats")
        if parsed.username is not None:
            user, password = unquote(parsed.username), unquote(parsed.password or "")
        servers.append(f"{parsed.scheme}://{parsed.netloc.rpartition('@')[2]}")
    return FabricEndpoint(url=",".join(servers), user=user, password=password)
