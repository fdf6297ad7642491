"""Routes of workers, credentials and the grid, and the keys of a request that are about GPUs and time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from tests.server.bench import bench, check_problem

from wasmgrid.core.errors import InvalidField
from wasmgrid.fabric import certificates, credentials
from wasmgrid.fabric.authorization import User
from wasmgrid.home import Home
from wasmgrid.server.admission import Admission, fingerprint
from wasmgrid.server.options import ServeOptions, token_of
from wasmgrid.store import Store


def test_a_worker_is_held_and_let_go(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path) as grid:
            assert (await grid.http.post("/v1/workers/bench/cordon")).json()["state"] == "cordoned"
            job = (await grid.submit()).json()
            assert (await grid.http.get(f"/v1/jobs/{job['id']}")).json()["state"] == "queued"
            assert (await grid.http.post("/v1/workers/bench/uncordon")).json()["state"] == "joined"
            assert (await grid.http.get(f"/v1/jobs/{job['id']}", params={"wait": 60})).json()["finished"]
            check_problem(await grid.http.post("/v1/workers/nobody/drain"), 404, "not_found")
            check_problem(await grid.http.post("/v1/workers/a.b/drain"), 422, "invalid_field", "worker_id")

    asyncio.run(story())


def test_who_answers_and_who_leads(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path) as grid:
            found = (await grid.http.get("/v1/grid")).json()
            assert found == {"server_id": "bench", "leads": True, "leader": {"server_id": "bench", "term": 1}}
            assert (await grid.http.get("/v1/join")).json()["nats_url"] == "nats://127.0.0.1:4222"

    asyncio.run(story())


def test_credentials_are_made_listed_and_revoked(tmp_path: Path) -> None:
    async def story() -> None:
        _, key = credentials.make()
        async with bench(tmp_path) as grid:
            body = {"kind": "worker", "name": "w", "public_key": key}
            made = await grid.http.post("/v1/credentials", json=body)
            assert (made.status_code, made.json()["nats_url"]) == (201, "nats://127.0.0.1:4222")
            again = await grid.http.post("/v1/credentials", json=body | {"public_key": credentials.make()[1]})
            check_problem(again, 422, "invalid_field", "name")
            shown = (await grid.http.get("/v1/credentials")).json()["credentials"]
            assert [(each["name"], each["kind"], each["revoked_at"]) for each in shown] == [("w", "worker", None)]
            assert key in (await grid.http.get("/v1/credentials/authorization")).text
            assert (await grid.http.delete("/v1/credentials/w")).status_code == 204
            assert key not in (await grid.http.get("/v1/credentials/authorization")).text
            check_problem(await grid.http.delete("/v1/credentials/w"), 404, "not_found")
            for wrong, field in (
                ({"kind": "god"}, "kind"),
                ({"name": "a.b"}, "name"),
                ({"name": "*"}, "name"),
                ({"name": "authorization"}, "name"),
                ({"public_key": "UABC"}, "public_key"),
                ({"seed": "S"}, "seed"),
            ):
                refused = await grid.http.post("/v1/credentials", json={**body, "name": "v", **wrong})
                check_problem(refused, 422, "invalid_field", field)

    asyncio.run(story())


def test_our_own_nats_learns_what_another_server_was_told(tmp_path: Path) -> None:
    heard: list[list[User]] = []

    class Door:
        async def reload(self, users: list[User]) -> None:
            heard.append(users)

    async def story() -> None:
        store = await Store.open(tmp_path)
        ours = Admission(store, nats_url="nats://a:1", door=Door())
        theirs = Admission(store, nats_url="nats://a:1")
        await ours.apply()
        assert heard == [], "nothing new"
        await theirs.add("w", "worker", credentials.make()[1])
        await ours.apply()
        await ours.apply()
        await theirs.revoke("w")
        await ours.apply()
        assert [[user.name for user in users] for users in heard] == [["w"], []]
        await store.close()

    asyncio.run(story())


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"gpu_model": "H100"}, "gpu_model"),
        ({"gpu_memory_mb": 40_000}, "gpu_memory_mb"),
        ({"gpus": 1, "gpu_model": ""}, "gpu_model"),
        ({"gpus": 1, "gpu_memory_mb": -1}, "gpu_memory_mb"),
        ({"gpus": 65}, "gpus"),
        ({"queue_timeout_s": 0}, "queue_timeout_s"),
        ({"queue_timeout_s": 1e300}, "queue_timeout_s"),
        ({"total_timeout_s": -1}, "total_timeout_s"),
        ({"total_timeout_s": "1h"}, "total_timeout_s"),
        ({"retry_memory": 1}, "retry_memory"),
        ({"retry_memory": 17}, "retry_memory"),
    ],
)
def test_hostile_55_absurd_gpus_and_times(spec: dict[str, Any], field: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path) as grid:
            check_problem(await grid.submit(**spec), 422, "invalid_field", field)

    asyncio.run(story())


def test_who_asks_for_a_gpu_is_told_what_it_can_do(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path) as grid:
            job = (await grid.submit(gpus=1, gpu_model="H100", gpu_memory_mb=40_000)).json()
            assert any("WASMGRID_GPUS" in each for each in job["warnings"]), job["warnings"]
            assert job["spec"]["gpu_model"] == "H100"
            refused = await grid.submit(gpus=1, fail_fast=True)
            check_problem(refused, 409, "unsatisfiable")

    asyncio.run(story())


def test_servers_of_one_grid_have_one_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path / "home").create()
    own = token_of(ServeOptions(home=home))
    monkeypatch.setenv("WASMGRID_TOKEN", "t" * 40)
    assert token_of(ServeOptions(home=home)) == own, "a client's variable is nothing to a server that is alone"
    shared = ServeOptions(home=home, store_url="postgresql://u@h/d")
    assert token_of(shared) == home.token() == "t" * 40
    assert home.token_file.stat().st_mode & 0o777 == 0o600
    monkeypatch.setenv("WASMGRID_TOKEN", "short")
    with pytest.raises(InvalidField, match="16"):
        token_of(shared)
    monkeypatch.delenv("WASMGRID_TOKEN")
    assert token_of(shared) == "t" * 40


def test_names_under_which_a_server_is_known(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert ServeOptions(home=home).names == []
    everywhere = ServeOptions(home=home, listen="0.0.0.0", advertise="grid.example")  # noqa: S104
    assert everywhere.advertised == "grid.example"
    assert "0.0.0.0" not in everywhere.names  # noqa: S104
    assert ServeOptions(home=home, listen="10.0.0.5").names[0] == "10.0.0.5"


def test_a_fingerprint_is_that_of_other_programs(tmp_path: Path) -> None:
    pem = certificates.ensure(Home(tmp_path).create(), ["localhost"]).ca_pem
    shown = x509.load_pem_x509_certificate(pem.encode()).fingerprint(SHA256()).hex(":").upper()
    assert fingerprint(pem) == shown
