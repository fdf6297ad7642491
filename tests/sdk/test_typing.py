"""What a user's type checker says of a program that uses the SDK: nothing, and something where it is wrong."""

from __future__ import annotations

from pathlib import Path

from mypy import api

RIGHT = """
import asyncio
from concurrent.futures import as_completed
from pathlib import Path

import wasmgrid


def sync() -> None:
    with wasmgrid.Client() as client:
        result = client.run(Path("a.rs"), args=["x", 1], cpus=0.5, time_limit="30s", inputs={"/in/a": b"x"}, check=True)
        code: int | None = result.exit_code
        text: str = result.stdout
        print(code, text, result.stats.wall_ms, result.artifacts["a"].bytes, result.read("a"))
        job: wasmgrid.Job[wasmgrid.Result] = client.submit("a.rs", array=10)
        for done in as_completed([job]):
            print(done.result().ok)
        for line in job.logs():
            print(line.upper())
        add: wasmgrid.Function = client.function("add.rs", "add", memory_mb=64)
        print(add(2, 3), [value + 1 for value in add.map([1], [2])], add.submit(1, 2).result())
        for each in client.map("a.rs", ["x"], ordered=False, retries=2):
            print(each.stdout)
    with wasmgrid.Executor() as pool:
        print(pool.submit(add, 1, 2).result(), list(pool.map(add, [1], [2])))
    options: wasmgrid.JobOptions = {"memory_mb": 64, "time_limit": 3.5}
    try:
        client.run("a.rs", **options)
    except wasmgrid.BuildFailed as error:
        print(error.diagnostics, error.code)
    except wasmgrid.TaskFailed as failed:
        print(failed.result.stderr)


async def main() -> None:
    async with wasmgrid.AsyncClient() as client:
        result = await client.run("a.rs")
        job = await client.submit("a.rs")
        print(result.stdout, (await job).stdout, await result.read("a"))
        async for line in job.logs():
            print(line.upper())
        async for value in client.function("a.rs", "f").map([1, 2]):
            print(value)


asyncio.run(main())
"""
WRONG = """
import wasmgrid

client = wasmgrid.Client()
client.run("a.rs", cpu=1)
client.run("a.rs", memory_mb="much")
client.submit("a.rs").result().stdot
"""


def test_a_program_that_is_right_and_one_that_is_wrong(tmp_path: Path) -> None:
    for name, text in (("right", RIGHT), ("wrong", WRONG)):
        (tmp_path / f"{name}.py").write_text(text)
    # its cache is the repository's own: checking the package itself anew takes half a minute
    flags = ["--strict", "--config-file=", f"--cache-dir={Path(__file__).parents[2] / '.mypy_cache' / 'users'}"]
    said, errors, _ = api.run([*flags, str(tmp_path / "right.py"), str(tmp_path / "wrong.py")])
    found = [line.partition("error: ")[2].partition("  [")[0] for line in said.splitlines() if "error:" in line]
    assert not errors
    assert [line for line in said.splitlines() if "right.py" in line] == []
    assert len(found) == 3, said
    assert 'Unexpected keyword argument "cpu"' in found[0]
    assert 'incompatible type "str"; expected "int"' in found[1]
    assert 'has no attribute "stdot"' in found[2]
