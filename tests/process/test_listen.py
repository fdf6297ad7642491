"""A server that other machines reach: TLS for the API and the fabric, by the home's own authority."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from wasmgrid.fabric import credentials
from wasmgrid.fabric.credentials import Credential

Serve = Callable[..., Any]


def test_the_api_is_https_and_says_how_workers_join(serve: Serve) -> None:
    server = serve(listen="127.0.0.1", advertise="grid.example").ready()
    url = server.home.endpoint().url
    assert url.startswith("https://127.0.0.1:")
    assert "from other machines: https://grid.example:" in server.stderr.read_text()
    trusted = ssl.create_default_context(cafile=server.home.tls / "ca.pem")
    headers = {"Authorization": f"Bearer {server.home.token()}"}
    with httpx.Client(base_url=url, verify=trusted, headers=headers, timeout=60) as client:
        assert client.get("/readyz").json()["ok"]
        join = client.get("/v1/join").json()
        assert join["nats_url"].startswith("tls://grid.example:")
        assert join["ca"] == (server.home.tls / "ca.pem").read_text()
        assert len(join["fingerprint"]) == 32 * 3 - 1
        for host, status in (("grid.example", 200), ("evil.example", 403)):
            assert client.get("/v1/version", headers={"Host": host}).status_code == status
        seed, key = credentials.make()
        made = client.post("/v1/credentials", json={"kind": "worker", "name": "w", "public_key": key}).json()
        Credential(name="w", kind="worker", nats_url=made["nats_url"], seed=seed, ca=made["ca"])
    with pytest.raises(httpx.ConnectError), httpx.Client(base_url=url) as client:  # the system does not know this CA
        client.get("/readyz")
    with pytest.raises(httpx.HTTPError), httpx.Client(base_url=url.replace("https", "http")) as client:
        client.get("/readyz")
    assert server.stop() == 0


def test_a_credential_is_in_force_again_after_a_restart(serve: Serve) -> None:
    first = serve().ready()
    _, key = credentials.make()
    body = {"kind": "worker", "name": "w", "public_key": key}
    assert first.ask("POST", "/v1/credentials", body)[0] == 201
    allowed = first.home.nats / "authorization.conf"
    assert key in allowed.read_text()
    assert first.stop() == 0
    second = serve().ready()
    assert key in allowed.read_text()
    assert second.stop() == 0
