"""Both clients at a real grid: what docs/cli.md shows, and what a program does with inputs and live output."""

from __future__ import annotations

import asyncio
import io

from tests.e2e import programs
from tests.e2e.grid import Grid

from wasmgrid.core.lifecycle import JobState
from wasmgrid.sdk import AsyncClient, Client, calls, prepare
from wasmgrid.sdk.given import GivenInput


def test_submit_and_wait(grid: Grid) -> None:
    path = grid.file("sdk.wat", programs.prints("from the sdk\n"))
    with Client(grid.url, grid.token) as client:
        hello = prepare.job(path, name="sdk", cpus=1, memory_mb=100)
        job = client.wait(client.submit_spec(hello.spec, hello.blobs).id)
        assert job.result is not None
        assert job.result.stdout == "from the sdk\n"
        assert job.result.succeeded
        newest = next(client.jobs(name="sdk"))
        assert (newest.id, newest.name) == (job.id, "sdk")
        module = io.BytesIO()
        assert client.download(calls.module(job.id), module) == job.module_bytes
        assert client.attempts(job.id)[-1].outcome == "exited"


def test_many_at_once(grid: Grid) -> None:
    path = grid.file("many.wat", programs.exits(5))

    async def many() -> list[tuple[str, int | None, str | None]]:
        async with AsyncClient(grid.url, grid.token) as client:

            async def one() -> tuple[str, int | None, str | None]:
                spec = prepare.job(path)
                job = await client.wait((await client.submit_spec(spec.spec, spec.blobs)).id)
                assert job.result is not None
                return job.result.outcome, job.result.exit_code, job.result.message

            return await asyncio.gather(*(one() for _ in range(10)))

    assert asyncio.run(many()) == [("exited", 5, None)] * 10


def test_a_module_and_its_input_are_uploaded_when_the_grid_lacks_them(grid: Grid) -> None:
    path = grid.file("give.wat", programs.prints("fresh upload of the sdk\n"))
    data = grid.file("input.txt", "an input that nobody sent before")
    with Client(grid.url, grid.token) as client:
        built = prepare.job(path, build_only=True)
        first = client.wait(client.submit_spec(built.spec, built.blobs).id)
        assert first.state == JobState.SUCCEEDED
        module = io.BytesIO()
        client.download(calls.module(first.id), module)
        changed = module.getvalue() + b"\0\x06\x04sdk!!"  # a custom section: another digest, the same program
        spec = prepare.job(changed, inputs=[GivenInput(data)])
        job = client.wait(client.submit_spec(spec.spec, spec.blobs).id)
        assert job.result is not None
        assert job.result.stdout == "fresh upload of the sdk\n"
        assert client.send(calls.has_blob("inputs", spec.spec.inputs[0].sha256))


def test_live_output_goes_on_behind_what_was_seen(grid: Grid) -> None:
    path = grid.file("ticks.wat", programs.TICKS)
    with Client(grid.url, grid.token) as client:
        spec = prepare.job(path)
        job_id = client.submit_spec(spec.spec, spec.blobs).id
        seen, size = "", 0
        for chunk in client.stream(calls.logs(job_id)):
            seen, size = chunk.id, size + len(chunk.data)
            if size >= 20:
                break
        later = next(chunk for chunk in client.stream(calls.logs(job_id, after=seen)) if chunk.data)
        assert later.offset == size
        client.cancel(job_id)
        assert client.wait(job_id).state == JobState.CANCELLED
