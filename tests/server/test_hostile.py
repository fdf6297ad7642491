"""Bad requests of every sort: each is answered with its problem, and the next good one is served."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import tarfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.server.bench import AUTHORISED, EMPTY_MODULE, MODULE, TOKEN, Bench, bench, check_problem, listening

from wasmgrid.core.digest import sha256_hex
from wasmgrid.core.limits import MB, Ceiling
from wasmgrid.server import bodies, trees

C_SOURCE = {"files": {"hello.c": "int main(void) { return 0; }\n"}}


def on_bench(tmp_path: Path, story: Callable[[Bench], Awaitable[None]], **options: Any) -> None:
    """Run a story, and afterwards see that the API still takes a job through."""

    async def run() -> None:
        async with bench(tmp_path, **options) as grid:
            await story(grid)
            assert (await grid.submit(wait=30)).json()["state"] == "succeeded"

    asyncio.run(run())


async def post_raw(grid: Bench, body: bytes) -> Any:
    return await grid.http.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"})


def test_hostile_02_source_not_utf8_keeps_its_bytes(tmp_path: Path) -> None:
    raw = b"int main(void) { /* \xff\x00 */ return 0; }\n"

    async def story(grid: Bench) -> None:
        check_problem(await post_raw(grid, b'{"source": {"files": {"x.c": "\xff"}}}'), 400, "invalid_request")
        encoded = {"base64": base64.b64encode(raw).decode()}
        job = (await grid.submit(source={"files": {"x.c": encoded}})).json()
        kept = (await grid.http.get(f"/v1/jobs/{job['id']}/source")).json()
        assert base64.b64decode(kept["files"]["x.c"]["base64"]) == raw
        assert kept["language"] == "c"

    on_bench(tmp_path, story)


def test_hostile_03_empty_source(tmp_path: Path) -> None:
    async def story(grid: Bench) -> None:
        for files in ({}, {"hello.c": ""}, {"a.c": "", "b.c": {"base64": ""}}):
            check_problem(await grid.submit(source={"files": files}), 400, "invalid_request", "source.files")

    on_bench(tmp_path, story)


def test_hostile_12_compiler_options_outside_the_allow_list(tmp_path: Path) -> None:
    async def story(grid: Bench) -> None:
        for flag in ("-o /x", "@file", "-fplugin=x.so", "-o", "-Wl,-o,/x", "", "-O2 -o/x"):
            answer = await grid.submit(source={**C_SOURCE, "build_flags": [flag]})
            check_problem(answer, 400, "flag_refused", "source.build_flags")

    on_bench(tmp_path, story)


def a_tar(*members: tarfile.TarInfo | tuple[str, bytes]) -> bytes:
    """An archive of these."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for member in members:
            if isinstance(member, tuple):
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
            else:
                archive.addfile(member)
    return out.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = target
    return info


async def put_tree(grid: Bench, archive: bytes) -> Any:
    return await grid.http.put(f"/v1/inputs/{sha256_hex(archive)}", content=archive, params={"tree": "1"})


def test_hostile_14_archive_bomb_is_413_before_extraction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "MAX_MEMBERS", 100)
    many = a_tar(*((f"f{number}", b"") for number in range(200)))
    # a header that claims a terabyte, without the bytes
    huge = bytearray(a_tar(("big", b"")))
    info = tarfile.TarInfo("big")
    info.size = 1 << 40
    huge[:512] = info.tobuf(tarfile.GNU_FORMAT)
    # an extended header that would be read into memory at once
    extended = bytearray(a_tar(("x", b"")))
    header = special("x", tarfile.XHDTYPE)
    header.size = 1 << 30
    extended[:512] = header.tobuf(tarfile.GNU_FORMAT)

    async def story(grid: Bench) -> None:
        check_problem(await put_tree(grid, many), 413, "too_large")
        check_problem(await put_tree(grid, bytes(huge)), 413, "too_large")
        check_problem(await put_tree(grid, bytes(extended)), 400, "invalid_request", "tree")
        assert (await put_tree(grid, a_tar(("dir/f", b"fine")))).status_code == 201

    on_bench(tmp_path, story)


ESCAPES: list[tuple[Any, str]] = [
    (("../escape", b"x"), "invalid_path"),
    (("/etc/passwd", b"x"), "invalid_path"),
    (("a/../../b", b"x"), "invalid_path"),
    (special("link", tarfile.SYMTYPE, "/etc/passwd"), "invalid_request"),
    (special("hard", tarfile.LNKTYPE, "other"), "invalid_request"),
    (special("null", tarfile.CHRTYPE), "invalid_request"),
    (special("pipe", tarfile.FIFOTYPE), "invalid_request"),
]


def test_hostile_15_archive_that_escapes(tmp_path: Path) -> None:
    async def story(grid: Bench) -> None:
        for member, code in ESCAPES:
            check_problem(await put_tree(grid, a_tar(("good", b"x"), member)), 400, code, "tree")
        check_problem(await put_tree(grid, b"this is no archive at all" * 100), 400, "invalid_request")

    on_bench(tmp_path, story)


async def put_module(grid: Bench, data: bytes) -> Any:
    return await grid.http.put(f"/v1/modules/{sha256_hex(data)}", content=data)


async def submit_module(grid: Bench, data: bytes) -> Any:
    content = {"base64": base64.b64encode(data).decode()}
    return await grid.submit(source={"language": "wasm", "files": {"x.wasm": content}})


GARBAGE = {
    "truncated": MODULE[:20],
    "cut in a section": MODULE[:-1],
    "garbage": b"\0asm\x01\0\0\0" + b"\xff" * 64,
    "invalid body": MODULE[:-2] + b"\x6a\x0b",  # i32.add on an empty stack: only the engine's validation sees it
    "text": b"hello, I am a module",
}


def test_hostile_18_truncated_or_garbage_wasm(tmp_path: Path) -> None:
    async def story(grid: Bench) -> None:
        for what, data in GARBAGE.items():
            check_problem(await put_module(grid, data), 400, "invalid_module")
            check_problem(await submit_module(grid, data), 400, "invalid_module")
            assert (await grid.http.head(f"/v1/modules/{sha256_hex(data)}")).status_code == 404, what

    on_bench(tmp_path, story)


def test_hostile_19_precompiled_or_elf_uploaded_as_wasm(tmp_path: Path) -> None:
    from wasmtime import Engine, Module

    precompiled = bytes(Module(Engine(), MODULE).serialize())

    async def story(grid: Bench) -> None:
        for data in (precompiled, b"\x7fELF" + bytes(200)):
            body = check_problem(await put_module(grid, data), 400, "invalid_module")
            assert "ELF" in body["detail"]
            check_problem(await submit_module(grid, data), 400, "invalid_module")

    on_bench(tmp_path, story)


def test_hostile_20_component_is_recognised(tmp_path: Path) -> None:
    async def story(grid: Bench) -> None:
        body = check_problem(await put_module(grid, b"\0asm\x0d\0\x01\0" + bytes(10)), 400, "invalid_module")
        assert "component" in body["detail"]

    on_bench(tmp_path, story)


def test_hostile_22_no_start_lists_what_is_there(tmp_path: Path) -> None:
    async def story(grid: Bench) -> None:
        body = check_problem(await put_module(grid, EMPTY_MODULE), 400, "invalid_module")
        assert "_start" in body["detail"]

    on_bench(tmp_path, story)


def test_hostile_23_a_200_mb_module_is_413_while_streaming(tmp_path: Path) -> None:
    sent = 0

    async def endless() -> Any:
        nonlocal sent
        while sent < 200 * MB:
            sent += MB
            yield bytes(MB)

    async def story(grid: Bench) -> None:
        path = f"/v1/modules/{'0' * 64}"
        check_problem(await grid.http.put(path, content=endless()), 413, "too_large")
        assert sent < 20 * MB
        headers = {"Content-Length": str(200 * MB)}
        check_problem(await grid.http.put(path, content=b"x", headers=headers), 413, "too_large")

    on_bench(tmp_path, story, ceiling=Ceiling(module_bytes=8 * MB))


def test_hostile_23_a_wrong_digest_keeps_nothing(tmp_path: Path) -> None:
    async def story(grid: Bench) -> None:
        path = f"/v1/modules/{'0' * 64}"
        check_problem(await grid.http.put(path, content=MODULE), 400, "digest_mismatch")
        assert (await grid.http.head(path)).status_code == 404

    on_bench(tmp_path, story)


def test_hostile_49_html_stays_data(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"

    async def story(grid: Bench) -> None:
        answer = await grid.submit(name=evil)
        assert answer.headers["content-type"] == "application/json"
        assert answer.json()["name"] == evil
        missing = await grid.http.get(f"/v1/{evil}")
        for each in (answer, missing, await grid.http.get("/v1/jobs/1/stdin"), await grid.http.get("/schema")):
            assert each.headers["x-content-type-options"] == "nosniff"
            policy = each.headers["content-security-policy"]
            assert "sandbox" in policy
            assert "default-src 'none'" in policy
            assert "html" not in each.headers["content-type"]
            assert not any(name.startswith("access-control") for name in each.headers)
        disposition = (await grid.http.get("/v1/jobs/1/module")).headers["content-disposition"]
        assert disposition.startswith("attachment")
        assert "<" not in disposition

    on_bench(tmp_path, story)


def test_hostile_50_sql_is_literal(tmp_path: Path) -> None:
    evil = "x'; DROP TABLE jobs; --"

    async def story(grid: Bench) -> None:
        answer = await grid.submit(name=evil, args=[evil], env={"K": evil}, idempotency_key=evil)
        assert answer.status_code == 201
        found = (await grid.http.get("/v1/jobs", params={"name": evil})).json()["jobs"]
        assert [job["name"] for job in found] == [evil]
        assert (await grid.http.get("/v1/jobs", params={"name": "%"})).json()["jobs"] == []
        check_problem(await grid.http.get(f"/v1/jobs/{evil}"), 404, "job_not_found")

    on_bench(tmp_path, story)


def test_hostile_51_paths_that_escape(tmp_path: Path) -> None:
    async def story(grid: Bench) -> None:
        for path in ("../x.c", "/etc/x.c", "a/../../x.c", "a//x.c", "./x.c", "a\\..\\x.c", "x\0.c", ""):
            answer = await grid.submit(source={"files": {path: "int x;"}})
            check_problem(answer, 400, "invalid_path", "source.files")
            answer = await grid.submit(source={**C_SOURCE, "entry": path})
            check_problem(answer, 400, "invalid_path", "source.entry")
            if path and "\0" not in path:
                part = [("source", (path, b"int x;"))]
                answer = await grid.http.post("/v1/jobs", data={"spec": '{"source": {}}'}, files=part)
                check_problem(answer, 400, "invalid_path", "source.files")
        for path in ("in/x", "/in/../x", "/in//x", "/in/./x", "/in/x\0", "/in/x\\y"):
            answer = await grid.submit(inputs=[{"path": path, "sha256": "0" * 64}])
            check_problem(answer, 400, "invalid_path", "inputs[0].path")

    on_bench(tmp_path, story)


def test_hostile_51_artifact_names_are_looked_up(tmp_path: Path) -> None:
    async def story(grid: Bench) -> None:
        await grid.submit(wait=30)
        for path in ("../../etc/passwd", "%2e%2e/%2e%2e/etc/passwd", "..%2f..%2fetc%2fpasswd"):
            assert (await grid.http.get(f"/v1/jobs/1/artifacts/{path}")).status_code == 404
        for path in (f"/v1/modules/{'..%2f' * 8}etc", "/v1/inputs/..", "/v1/modules/ABCDEF"):
            assert (await grid.http.put(path, content=b"x")).status_code in {404, 405, 422}

    on_bench(tmp_path, story)


def test_hostile_52_ids_and_labels(tmp_path: Path) -> None:
    async def story(grid: Bench) -> None:
        for bad in ("*", ">", "a.b", "a b", "", "x" * 64):
            check_problem(await grid.submit(require={bad: "v"}), 422, "invalid_field", "require")
            check_problem(await grid.submit(prefer={"k": bad}), 422, "invalid_field", "prefer.k")
        for bad in ("*", "%3E", "a.b", "a b", "0", "-1", "1e3", "9" * 30, "x" * 1000):
            check_problem(await grid.http.get(f"/v1/jobs/{bad}"), 404, "job_not_found")

    on_bench(tmp_path, story)


MALFORMED = {
    "empty": b"",
    "not json": b"hello",
    "cut": b'{"name": "x"',
    "trailing": b'{"name": "x"} {}',
    "list for object": b"[]",
    "deep list": b"[" * 1_000_000,
    "deep in unknown key": b'{"x": ' + b"[" * 500_000 + b"]" * 500_000 + b"}",
    "deep objects": b'{"source": ' * 200_000,
    "duplicate": b'{"name": "a", "name": "b"}',
    "duplicate deep down": b'{"module_sha256": "' + b"0" * 64 + b'", "env": {"A": "1", "A": "2"}}',
    "lone surrogate": b'{"name": "\\ud800"}',
    "endless number": b'{"cpus": ' + b"9" * 100_000 + b"}",
}


def test_hostile_53_malformed_json(tmp_path: Path) -> None:
    async def story(grid: Bench) -> None:
        for what, body in MALFORMED.items():
            began = time.process_time()
            answer = await post_raw(grid, body)
            assert answer.status_code in {400, 422}, what
            assert answer.json()["code"] in {"invalid_request", "invalid_field"}
            assert time.process_time() - began < 5.0, what
            assert len(answer.content) < 2000

    on_bench(tmp_path, story)


def test_hostile_53_duplicate_keys_are_named(tmp_path: Path) -> None:
    async def story(grid: Bench) -> None:
        check_problem(await post_raw(grid, MALFORMED["duplicate"]), 400, "invalid_request", "name")
        check_problem(await post_raw(grid, MALFORMED["duplicate deep down"]), 400, "invalid_request", "A")
        check_problem(await post_raw(grid, MALFORMED["deep in unknown key"]), 400, "invalid_request")

    on_bench(tmp_path, story)


def test_hostile_54_a_gigabyte_is_413_at_once(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path) as grid, listening(grid.app) as url:
            host, port = url.removeprefix("http://").split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(
                f"POST /v1/jobs HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {TOKEN}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {1 << 30}\r\n\r\n".encode()
            )
            async with asyncio.timeout(30):
                head = await reader.readuntil(b"\r\n\r\n")
            assert b" 413 " in head.splitlines()[0]
            writer.close()
            # the same without a length: as soon as it is over
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(
                f"POST /v1/jobs HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {TOKEN}\r\n"
                f"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
            )
            answer = asyncio.create_task(reader.readuntil(b"\r\n\r\n"))
            sent = 0
            while not answer.done() and sent < 64 * MB:
                writer.write(b"%x\r\n" % MB + b" " * MB + b"\r\n")
                with contextlib.suppress(ConnectionError):
                    await writer.drain()
                sent += MB
            async with asyncio.timeout(30):
                assert b" 413 " in (await answer).splitlines()[0]
            assert sent < 64 * MB
            writer.close()
            assert (await grid.submit(wait=30)).status_code == 201

    asyncio.run(story())


def test_hostile_54_a_slow_client_is_408(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "STALL_S", 0.3)

    async def story() -> None:
        async with bench(tmp_path) as grid, listening(grid.app) as url:
            host, port = url.removeprefix("http://").split(":")
            for method, path in (("POST", "/v1/jobs"), ("PUT", f"/v1/inputs/{'0' * 64}")):
                reader, writer = await asyncio.open_connection(host, int(port))
                writer.write(
                    f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {TOKEN}\r\n"
                    f"Content-Length: 1000\r\n\r\n{{".encode()
                )
                async with asyncio.timeout(30):
                    answer = await reader.read()  # the connection is closed after it
                assert b" 408 " in answer.splitlines()[0]
                assert b'"code":"slow_request"' in answer
                writer.close()
            assert (await grid.submit(wait=30)).status_code == 201

    asyncio.run(story())


RESOURCES: list[tuple[str, str]] = [
    ("cpus", "-1"),
    ("cpus", "0"),
    ("cpus", "NaN"),
    ("cpus", "Infinity"),
    ("cpus", "-Infinity"),
    ("cpus", "1e999"),
    ("cpus", "1e9"),
    ("cpus", '"many"'),
    ("memory_mb", "-1"),
    ("memory_mb", "0"),
    ("memory_mb", "1.5"),
    ("memory_mb", "1" + "0" * 40),
    ("memory_mb", "true"),
    ("disk_mb", "99999999999"),
    ("gpus", "-1"),
    ("gpus", "1000"),
    ("time_limit_s", "0"),
    ("time_limit_s", "NaN"),
    ("time_limit_s", "1e12"),
    ("cpu_time_limit_s", "-0.5"),
    ("cpu_time_limit_s", "1e12"),
    ("output_limit_bytes", "-1"),
    ("output_limit_bytes", "9" * 18),
    ("fuel", "0"),
    ("fuel", "1" + "0" * 30),
    ("retries", "-1"),
    ("retries", "1000"),
    ("priority", "100000"),
]


def test_hostile_55_absurd_resources(tmp_path: Path) -> None:
    async def story(grid: Bench) -> None:
        for field, value in RESOURCES:
            body = f'{{"module_sha256": "{"0" * 64}", "{field}": {value}}}'.encode()
            detail = check_problem(await post_raw(grid, body), 422, "invalid_field", field)["detail"]
            assert field in detail

    on_bench(tmp_path, story)


def test_hostile_57_one_key_a_hundred_times_at_once(tmp_path: Path) -> None:
    async def story(grid: Bench) -> None:
        await grid.module()
        answers = await asyncio.gather(*(grid.submit(idempotency_key="once", name="x") for _ in range(100)))
        assert {answer.json()["id"] for answer in answers} == {1}
        assert sorted(answer.status_code for answer in answers) == [200] * 99 + [201]
        assert len((await grid.http.get("/v1/jobs")).json()["jobs"]) == 1

    on_bench(tmp_path, story)


def test_hostile_58_the_same_key_for_another_request(tmp_path: Path) -> None:
    async def story(grid: Bench) -> None:
        await grid.submit(idempotency_key="k", name="one")
        answer = await grid.submit(idempotency_key="k", name="two")
        check_problem(answer, 409, "idempotency_conflict", "idempotency_key")
        # what is written differently but means the same is the same request
        spaced = json.dumps({"idempotency_key": "k", "module_sha256": await grid.module(), "name": "one"}, indent=8)
        assert (await post_raw(grid, spaced.encode())).status_code == 200

    on_bench(tmp_path, story)


def test_hostile_59_a_key_used_again_after_the_end(tmp_path: Path) -> None:
    async def story(grid: Bench) -> None:
        first = (await grid.submit(idempotency_key="k", wait=30)).json()
        again = await grid.submit(idempotency_key="k", wait=30)
        assert again.status_code == 200
        assert again.json() == first

    on_bench(tmp_path, story)


def test_missing_or_wrong_token_is_401(tmp_path: Path) -> None:
    async def story(grid: Bench) -> None:
        for given in (None, "", "Bearer", "Bearer ", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x"):
            headers = {"Authorization": given} if given is not None else {}
            grid.http.headers.pop("Authorization", None)
            for method, path in (
                ("GET", "/v1/jobs"),
                ("POST", "/v1/jobs"),
                ("GET", "/nowhere"),
                ("PUT", "/v1/inputs/x"),
            ):
                answer = await grid.http.request(method, path, headers=headers)
                check_problem(answer, 401, "unauthorized")
                assert answer.headers["www-authenticate"] == "Bearer"
                assert TOKEN not in answer.text
        grid.http.headers.update(AUTHORISED)

    on_bench(tmp_path, story)


def test_foreign_host_or_origin_is_403(tmp_path: Path) -> None:
    async def story(grid: Bench) -> None:
        for path in ("/v1/jobs", "/healthz", "/schema", "/nowhere"):
            await check_strangers(grid, path)

    on_bench(tmp_path, story)


async def check_strangers(grid: Bench, path: str) -> None:
    for headers in (
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example:3030"},
        {"Host": "localhost@evil.example"},
        {"Host": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"},
    ):
        for method in ("GET", "POST", "OPTIONS"):
            check_problem(await grid.http.request(method, path, headers=headers), 403, "forbidden")
    for headers in (
        {"Host": "localhost:3030", "Origin": "http://localhost:3030"},
        {"Host": "[::1]:3030"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
    ):
        assert (await grid.http.get(path, headers=headers)).status_code in {200, 404}
