"""DELETE of a job."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.server.bench import bench, check_problem


def test_a_job_is_forgotten_once_it_is_finished(tmp_path: Path) -> None:
    async def story() -> None:
        async with bench(tmp_path) as grid:
            assert (await grid.http.post("/v1/workers/bench/cordon")).status_code == 200
            job = (await grid.submit()).json()
            check_problem(await grid.http.delete(f"/v1/jobs/{job['id']}"), 422, "invalid_field", "job")
            await grid.http.post("/v1/workers/bench/uncordon")
            assert (await grid.http.get(f"/v1/jobs/{job['id']}", params={"wait": 60})).json()["finished"]
            answer = await grid.http.delete(f"/v1/jobs/{job['id']}")
            assert (answer.status_code, answer.content) == (204, b"")
            check_problem(await grid.http.get(f"/v1/jobs/{job['id']}"), 404, "job_not_found")
            check_problem(await grid.http.delete(f"/v1/jobs/{job['id']}"), 404, "job_not_found")

    asyncio.run(story())
