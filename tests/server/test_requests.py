"""How requests are read: JSON in our words, multipart, content types; and how what Litestar refuses is told."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import structlog
from tests.server.bench import MODULE, TOKEN, Bench, bench, check_problem

from wasmgrid.core import errors
from wasmgrid.core.errors import InvalidField, InvalidRequest, WasmgridError
from wasmgrid.core.job import JobSpec
from wasmgrid.core.limits import Ceiling
from wasmgrid.server import problems, strict_json


@pytest.mark.parametrize(
    ("body", "field", "says"),
    [
        (b'{"memory_mb": "x"}', "memory_mb", "memory_mb must be a whole number, not a string"),
        (b'{"memory_mb": 1.5}', "memory_mb", "memory_mb must be a whole number, not a number"),
        (b'{"cpus": -1}', "cpus", "cpus must be over 0"),
        (b'{"memory_mb": 0}', "memory_mb", "memory_mb must be at least 1"),
        (b'{"name": null}', "name", "name must be a string, not null"),
        (b'{"args": ["a", 3]}', "args[1]", "args[1] must be a string, not a whole number"),
        (b'{"env": {"A": 3}}', "env", "env must be a string, not a whole number"),
        (b'{"output_overflow": "x"}', "output_overflow", "output_overflow must be stop or truncate"),
        (b'{"module_sha256": "x"}', "module_sha256", "module_sha256 must be a sha256: 64 hex digits"),
        (b'{"inputs": [{"path": "/x"}]}', "inputs[0].sha256", "inputs[0].sha256 is missing"),
        (b'{"source": {"files": {"a": {"base64": "!"}}}}', "source.files.base64", "must be base64"),
        (b'{"name": "%s"}' % (b"x" * 201), "name", "name must have at most 200 characters"),
        (b"[1]", None, "the request must be an object, not a list"),
    ],
)
def test_what_is_wrong_is_told_in_our_words(body: bytes, field: str | None, says: str) -> None:
    with pytest.raises(InvalidField) as caught:
        strict_json.decode(body, JobSpec)
    assert caught.value.field == field
    assert says in caught.value.message


def test_unknown_keys_are_all_named_with_what_was_meant() -> None:
    with pytest.raises(InvalidField) as caught:
        strict_json.decode(b'{"memory": 5, "name": "x", "cpu": 1, "zzz": 0}', JobSpec)
    assert caught.value.message == "unknown keys: memory, cpu, zzz"
    assert caught.value.hint == "did you mean memory_mb, cpus?"
    assert caught.value.field == "memory"


@pytest.mark.parametrize(
    ("body", "field", "hint"),
    [
        (b'{"source": {"files": {}, "lang": "c"}}', "source.lang", "did you mean language?"),
        (b'{"inputs": [{"pth": "/x"}]}', "inputs[0].pth", "did you mean path?"),
        (b'{"source": {"files": {"a": {"b64": "x"}}}}', "source.files.b64", "did you mean base64?"),
        (b'{"xyzzy": 1}', "xyzzy", "known keys: name, source"),
    ],
)
def test_unknown_keys_deeper_down(body: bytes, field: str, hint: str) -> None:
    with pytest.raises(InvalidField) as caught:
        strict_json.decode(body, JobSpec)
    assert caught.value.field == field
    assert (caught.value.hint or "").startswith(hint)


def test_what_is_malformed_is_no_field_error() -> None:
    with pytest.raises(InvalidRequest, match="not JSON"):
        strict_json.decode(b'{"unknown": 1, ', JobSpec)


def test_every_error_has_a_status() -> None:
    kinds = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, WasmgridError)}
    assert {kind.code for kind in kinds} <= problems.STATUS.keys()


Story = Callable[[Bench], Awaitable[None]]


def with_bench(tmp_path: Path, ceiling: Ceiling | None = None) -> Callable[[Story], None]:
    """Run the decorated story on a bench."""

    def run(story: Story) -> None:
        async def whole() -> None:
            async with bench(tmp_path, ceiling=ceiling) as grid:
                await story(grid)

        asyncio.run(whole())

    return run


def test_pages_that_are_not_there_and_methods_that_are_not_meant(tmp_path: Path) -> None:
    @with_bench(tmp_path)
    async def _(grid: Bench) -> None:
        body = check_problem(await grid.http.get("/v2/jobs"), 404, "not_found")
        assert "/v2/jobs" in body["detail"]
        assert "schema" in body["hint"]
        check_problem(await grid.http.get("/v1/jobs/1/nothing"), 404, "not_found")
        answer = await grid.http.delete("/v1/jobs")
        check_problem(answer, 405, "method_not_allowed")
        assert "GET" in answer.headers["allow"]


def test_a_bug_is_an_incident_that_tells_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    structlog.reset_defaults()  # a server that was started in this process logs elsewhere

    @with_bench(tmp_path)
    async def _(grid: Bench) -> None:
        def burst() -> None:
            raise RuntimeError("the secret is hunter2 in /root/.ssh")

        grid.control.workers = burst  # type: ignore[method-assign, assignment]
        answer = await grid.http.get("/v1/workers")
        body = check_problem(answer, 500, "internal")
        assert "hunter2" not in answer.text
        assert "RuntimeError" not in answer.text
        assert "incident" in body["detail"]
        incident = body["detail"].partition("incident ")[2].rstrip(")")
        logged = capsys.readouterr()
        assert incident in logged.out + logged.err

    assert TOKEN not in "".join(capsys.readouterr())


def test_a_body_that_is_not_json_is_refused_by_its_type(tmp_path: Path) -> None:
    @with_bench(tmp_path)
    async def _(grid: Bench) -> None:
        for kind in ("text/plain", "application/x-www-form-urlencoded", "application/xml"):
            answer = await grid.http.post("/v1/jobs", content=b"{}", headers={"Content-Type": kind})
            check_problem(answer, 400, "invalid_request")


def test_source_as_multipart(tmp_path: Path) -> None:
    @with_bench(tmp_path)
    async def _(grid: Bench) -> None:
        files = [
            ("source", ("src/main.c", b"int main(void) { return x(); }\n")),
            ("source", ("src/x.c", b"int x(void) { return 0; } // \xff\n")),
            ("source", ('say "hi".txt', b"")),
        ]
        spec = '{"name": "project", "source": {"entry": "src/main.c"}}'
        answer = await grid.http.post("/v1/jobs", data={"spec": spec}, files=files)
        assert answer.status_code == 201, answer.text
        source = answer.json()["spec"]["source"]
        assert source["language"] == "c"
        assert source["entry"] == "src/main.c"
        assert source["paths"] == ['say "hi".txt', "src/main.c", "src/x.c"]
        kept = (await grid.http.get("/v1/jobs/1/source")).json()["files"]
        assert kept["src/main.c"].startswith("int main")
        assert "base64" in kept["src/x.c"]


def test_multipart_that_is_not_right(tmp_path: Path) -> None:
    boundary = "b"
    kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}

    def part(disposition: str, data: bytes) -> bytes:
        return f"--b\r\nContent-Disposition: form-data; {disposition}\r\n\r\n".encode() + data + b"\r\n"

    spec = part('name="spec"', b'{"source": {}}')
    file = part('name="f"; filename="a.c"', b"int x;")

    @with_bench(tmp_path, Ceiling(source_files=3, source_bytes=1000))
    async def _(grid: Bench) -> None:
        async def post(body: bytes, headers: dict[str, str] = kind):  # type: ignore[no-untyped-def]
            return await grid.http.post("/v1/jobs", content=body, headers=headers)

        check_problem(await post(file + b"--b--\r\n"), 400, "invalid_request")
        check_problem(await post(spec + spec + file + b"--b--\r\n"), 400, "invalid_request")
        check_problem(await post(spec + file + file + b"--b--\r\n"), 400, "invalid_path", "source.files")
        check_problem(await post(spec + part('name="f"', b"x") + b"--b--\r\n"), 400, "invalid_request")
        check_problem(await post(spec + file), 400, "invalid_request")
        check_problem(await post(b"nonsense" * 100), 400, "invalid_request")
        check_problem(await post(spec, {"Content-Type": "multipart/form-data"}), 400, "invalid_request")
        large = part('name="f"; filename="a.c"', b"x" * 2000)
        check_problem(await post(spec + large + b"--b--\r\n"), 413, "too_large")
        many = b"".join(part(f'name="f"; filename="{number}.c"', b"x") for number in range(10))
        check_problem(await post(spec + many + b"--b--\r\n"), 413, "too_large", "source.files")
        assert (await post(spec + file + b"--b--\r\n")).status_code == 201
        bare = part('name="spec"', b"{}")
        assert (await post(bare + file + b"--b--\r\n")).json()["spec"]["source"]["language"] == "c"


def test_what_a_job_may_carry_is_bounded(tmp_path: Path) -> None:
    @with_bench(tmp_path, Ceiling(stdin_bytes=100_000))
    async def _(grid: Bench) -> None:
        check_problem(await grid.submit(args=["x" * 300_000]), 413, "too_large", "args")
        check_problem(await grid.submit(stdin="x" * 100_001), 413, "too_large", "stdin")
        check_problem(await grid.submit(args=["a\0b"]), 422, "invalid_field", "args[0]")
        check_problem(await grid.submit(env={"A=B": "c"}), 422, "invalid_field", "env")
        check_problem(await grid.submit(env={"": "c"}), 422, "invalid_field", "env")
        check_problem(await grid.submit(require={f"k{n}": "v" for n in range(65)}), 422, "invalid_field", "require")
        both = await grid.submit(module_sha256="0" * 64, source={"files": {"a.c": "int x;"}})
        check_problem(both, 422, "invalid_field", "source")
        check_problem(await grid.http.post("/v1/jobs", json={"name": "x"}), 422, "invalid_field", "source")


def test_a_ready_module_as_source_is_a_module(tmp_path: Path) -> None:
    @with_bench(tmp_path)
    async def _(grid: Bench) -> None:
        content = {"base64": base64.b64encode(MODULE).decode()}
        job = (await grid.submit(source={"files": {"x.wasm": content}}, wait=30)).json()
        assert job["state"] == "succeeded"
        assert job["spec"]["source"] is None
        assert job["build"] is None
        again = (await grid.submit(module_sha256=job["module_sha256"])).json()
        assert again["module_bytes"] == len(MODULE)
        assert (await grid.http.get("/v1/jobs/1/module")).content == MODULE
