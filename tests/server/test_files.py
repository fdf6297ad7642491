"""What belongs to a job, what is sent ahead of it, and the grid's own pages."""

from __future__ import annotations

import asyncio
import math
import os
import re
from pathlib import Path

import msgspec
import pytest
from litestar.routes import HTTPRoute
from tests.server.bench import MODULE, Bench, BenchWorker, bench, check_problem, result

from wasmgrid import __version__
from wasmgrid.core import wire
from wasmgrid.core.digest import sha256_hex
from wasmgrid.core.job import INLINE_BYTES, Artifact, Output, TaskResult
from wasmgrid.server.headers import attachment


def test_outputs_and_artifacts_come_back_as_they_are(tmp_path: Path) -> None:
    large = os.urandom(300_000)
    left = os.urandom(1000)

    async def story() -> None:
        async def leave(_: BenchWorker, assign: wire.Assign) -> TaskResult | None:
            for data in (large, left):
                await grid.store.blobs.put(data, expected=None, max_bytes=None)
            return msgspec.structs.replace(
                result(assign, code=3),
                stdout=Output(data=large[:INLINE_BYTES], size=len(large), sha256=sha256_hex(large)),
                stderr=Output(data=b"\xffoops", size=5, truncated=True),
                artifacts=[Artifact(path="dir/r ü.bin", bytes=len(left), sha256=sha256_hex(left))],
            )

        async with bench(tmp_path, worker=BenchWorker(run=leave)) as grid:
            job = (await grid.submit(wait=30, name='a "b"/ü')).json()
            assert job["state"] == "failed"
            assert job["result"]["exit_code"] == 3
            assert job["result"]["stdout_bytes"] == 300_000
            assert job["result"]["stdout_sha256"] == sha256_hex(large)
            assert job["result"]["stderr_base64"] == "/29vcHM="
            assert job["result"]["stderr_truncated"] is True
            answer = await grid.http.get("/v1/jobs/1/stdout")
            assert answer.content == large
            assert answer.headers["content-length"] == "300000"
            assert (await grid.http.get("/v1/jobs/1/stderr")).content == b"\xffoops"
            listed = (await grid.http.get("/v1/jobs/1/artifacts")).json()["artifacts"]
            assert listed == [{"path": "dir/r ü.bin", "bytes": 1000, "sha256": sha256_hex(left)}]
            answer = await grid.http.get("/v1/jobs/1/artifacts/dir/r%20%C3%BC.bin")
            assert answer.content == left
            assert answer.headers["content-disposition"].startswith('attachment; filename="r _.bin"')
            check_problem(await grid.http.get("/v1/jobs/1/artifacts/dir"), 404, "not_found")
            module = await grid.http.get("/v1/jobs/1/module")
            assert module.content == MODULE
            assert module.headers["content-type"] == "application/wasm"
            check_problem(await grid.http.get("/v1/jobs/1/stdout", params={"index": 1}), 404, "not_found", "index")
            assert (await grid.http.get("/v1/jobs/1/why")).json()["reason"].startswith("it is failed")

    asyncio.run(story())


def test_what_a_job_was_given_can_be_had_again(tmp_path: Path) -> None:
    given = os.urandom(5000)
    typed = "line\n" * 50_000

    async def story() -> None:
        async with bench(tmp_path) as grid:
            path = f"/v1/inputs/{sha256_hex(given)}"
            check_missing = await grid.http.head(path)
            assert check_missing.status_code == 404
            assert (await grid.http.put(path, content=given)).status_code == 201
            assert (await grid.http.put(path, content=given)).status_code == 200
            assert (await grid.http.head(path)).status_code == 200
            inputs = [{"path": "/in/data", "sha256": sha256_hex(given), "writable": True}]
            await grid.submit(inputs=inputs, stdin=typed, wait=30)
            assert (await grid.http.get("/v1/jobs/1/inputs/0")).content == given
            check_problem(await grid.http.get("/v1/jobs/1/inputs/1"), 404, "not_found")
            assert (await grid.http.get("/v1/jobs/1/stdin")).content == typed.encode()
            await grid.submit(stdin={"base64": "/w=="})
            assert (await grid.http.get("/v1/jobs/2/stdin")).content == b"\xff"
            check_problem(await grid.http.get("/v1/jobs/1/source"), 404, "not_found")
            assert (await grid.http.get("/v1/jobs/1/diagnostics")).text == ""

    asyncio.run(story())


def test_the_grid_tells_of_itself(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path) as grid:
            await grid.submit(wait=30)
            workers = (await grid.http.get("/v1/workers")).json()["workers"]
            assert workers[0]["id"] == "bench"
            assert workers[0]["labels"] == {"arch": "x86_64"}
            tools = (await grid.http.get("/v1/toolchains")).json()["toolchains"]
            assert tools[0]["language"] == "c"
            assert (await grid.http.get("/v1/version")).json()["version"] == __version__

    asyncio.run(story())


def test_prune_takes_a_policy(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path) as grid:
            await grid.submit(wait=30)
            kept = (await grid.http.post("/v1/prune", json={"dry_run": True})).json()
            assert kept["dry_run"] is True
            assert kept["jobs"] == 0
            gone = (
                await grid.http.post("/v1/prune", json={"results_age_s": 0, "builds_age_s": 0, "grace_s": 0})
            ).json()
            assert gone["jobs"] == 1
            check_problem(await grid.http.get("/v1/jobs/1"), 404, "job_not_found")
            check_problem(await grid.http.post("/v1/prune", json={"grace": 1}), 422, "invalid_field", "grace")
            check_problem(await grid.http.post("/v1/prune", json={"grace_s": -1}), 422, "invalid_field", "grace_s")
            assert (await grid.submit(wait=30)).json()["state"] == "succeeded"

    asyncio.run(story())


def test_health_needs_no_token_and_readiness_says_what_is_wrong(tmp_path: Path) -> None:
    reachable = True

    async def fabric_reachable() -> bool:
        return reachable

    async def story() -> None:
        nonlocal reachable
        async with bench(tmp_path, fabric_reachable=fabric_reachable) as grid:
            del grid.http.headers["Authorization"]
            assert (await grid.http.get("/healthz")).json() == {"ok": True, "problems": {}}
            assert (await grid.http.get("/readyz")).status_code == 200
            reachable = False
            answer = await grid.http.get("/readyz")
            assert answer.status_code == 503
            assert answer.json() == {"ok": False, "problems": {"fabric": "the fabric does not answer"}}
            assert grid.control.leading is not None
            grid.control.leading.renewed_at = -math.inf  # as after a long stop: another may have taken over
            assert "leader" in (await grid.http.get("/readyz")).json()["problems"]

    asyncio.run(story())


def test_activity_is_every_request_with_the_token(tmp_path: Path) -> None:
    heard = 0

    def hear() -> None:
        nonlocal heard
        heard += 1

    async def story() -> None:
        async with bench(tmp_path, on_activity=hear) as grid:
            await grid.http.get("/v1/version")
            await grid.http.get("/healthz")
            await grid.http.get("/v1/version", headers={"Authorization": "Bearer wrong"})
            assert heard == 1

    asyncio.run(story())


def test_the_schema_covers_every_route(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path) as grid:
            del grid.http.headers["Authorization"]
            document = (await grid.http.get("/schema/openapi.json")).json()
            assert (await grid.http.get("/schema")).json() == document
            submit = document["paths"]["/v1/jobs"]["post"]
            assert submit["requestBody"]["content"].keys() == {"application/json", "multipart/form-data"}
            assert submit["responses"].keys() >= {"201", "400", "401", "403", "409", "413", "422", "503"}
            schemas = document["components"]["schemas"]
            assert schemas["JobSpec"]["additionalProperties"] is False
            assert schemas["JobSpec"]["properties"]["cpus"]["exclusiveMinimum"] == 0
            routes = {route.path_format for route in api_routes(grid)}
            assert {path.rstrip("/") for path in document["paths"]} == {path.rstrip("/") for path in routes}
            names = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
            assert len(names) == len(set(names))
            check_references(document, schemas)
            assert "http" not in str(document["servers"])

    asyncio.run(story())


def api_routes(grid: Bench) -> list[HTTPRoute]:
    """The routes of the API: not those of the dashboard's pages, nor of its own description."""
    routes = [route for route in grid.app.routes if isinstance(route, HTTPRoute)]
    shown = [r for r in routes if any(each.resolve_include_in_schema() for each in r.route_handlers)]
    return [route for route in shown if not route.path.startswith("/schema")]


def check_references(part: object, schemas: dict[str, object]) -> None:
    """Every $ref in the document leads somewhere."""
    if isinstance(part, dict):
        if "$ref" in part:
            assert part["$ref"].removeprefix("#/components/schemas/") in schemas, part
        for inner in part.values():
            check_references(inner, schemas)
    elif isinstance(part, list):
        for inner in part:
            check_references(inner, schemas)


@pytest.mark.parametrize("name", ["../../x", "a\r\nSet-Cookie: x=1", 'x"; filename="y', "ü" * 500, "", "/", "\ud800"])
def test_attachment_names_are_harmless(name: str) -> None:
    header = attachment(name)
    assert header.isascii()
    assert "\r" not in header
    assert "\n" not in header
    assert header.count('"') == 2
    assert "/" not in header.partition("filename*")[0]


def test_the_page_of_the_api_names_every_route(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")

    async def story() -> None:
        async with bench(tmp_path) as grid:
            for route in api_routes(grid):
                path = re.sub(r"\{(\w+):\w+\}", r"{\1}", route.path).replace("{job}", "{id}").replace("{number}", "{n}")
                named = path.rstrip("/") in page or path.removeprefix("/v1/jobs/{id}") in page
                assert named, path

    asyncio.run(story())
