"""What a run gave, as a program uses it and as a REPL and a notebook show it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from wasmgrid.core.errors import NotFound
from wasmgrid.core.job import Artifact, Stats
from wasmgrid.sdk import calls, shown, views
from wasmgrid.sdk.counts import Counts
from wasmgrid.sdk.failures import TaskFailed
from wasmgrid.sdk.saving import below, replacing

if TYPE_CHECKING:
    from wasmgrid.sdk.async_client import AsyncClient
    from wasmgrid.sdk.client import Client


class _Outcome:
    """What one task, or a whole array, came to; everything is here already, no attribute asks the server.

    Of an array (`of_array`, and `index` is None) there are `counts`, `outcome` (its state) and `stats` without
    figures; the tasks' own results come out of `tasks()`.
    """

    def __init__(
        self,
        job: views.Job,
        task: views.Result | None = None,
        *,
        stdout: bytes | None = None,
        stderr: bytes | None = None,
    ) -> None:
        self.job = job
        self.task = task
        head = task or views.Result()
        self.stdout_data: bytes = stdout if stdout is not None else head.stdout_head
        """What the task wrote to stdout, as bytes: all that was kept."""
        self.stderr_data: bytes = stderr if stderr is not None else head.stderr_head
        """What it wrote to stderr, as bytes."""

    @property
    def job_id(self) -> int:
        """The job's number."""
        return self.job.id

    @property
    def of_array(self) -> bool:
        """Whether the job is an array."""
        return self.job.is_array

    @property
    def index(self) -> int | None:
        """The task's index; None where this is about an array as a whole."""
        return self.task.index if self.task is not None else None if self.of_array else 0

    @property
    def outcome(self) -> str:
        """exited, trapped, out_of_memory, timed_out, ...; of an array its state (succeeded, failed, cancelled)."""
        return self.task.outcome if self.task is not None else self.job.state

    @property
    def exit_code(self) -> int | None:
        """0-255 where the program ended by itself, else None."""
        return self.task.exit_code if self.task is not None else None

    @property
    def ok(self) -> bool:
        """Whether it exited with 0; of an array, whether every task did."""
        return self.task.succeeded if self.task is not None else self.job.state == "succeeded"

    @property
    def ended(self) -> str:
        """The outcome in a word: `exited(3)`, `trapped(unreachable)`, `timed_out`."""
        detail = self.exit_code if self.exit_code is not None else self.trap_kind
        return self.outcome if detail is None else f"{self.outcome}({detail})"

    @property
    def message(self) -> str | None:
        """Why it ended so, in a sentence for a person."""
        return self.task.message if self.task is not None else self.job.state_reason

    @property
    def trap_kind(self) -> str | None:
        """Where it trapped: unreachable, integer_division_by_zero, ..."""
        return self.task.trap_kind if self.task is not None else None

    @property
    def backtrace(self) -> str | None:
        """The guest's frames, innermost first, where it trapped."""
        return self.task.backtrace if self.task is not None else None

    @property
    def return_value(self) -> Any:
        """What a function returned, as JSON has it; None for nothing."""
        return self.task.return_value if self.task is not None else None

    @property
    def stdout(self) -> str:
        """What the task wrote to stdout, as text; bytes that are none are U+FFFD (`stdout_data` has them)."""
        return self.stdout_data.decode("utf-8", "replace")

    @property
    def stderr(self) -> str:
        """What the task wrote to stderr, as text."""
        return self.stderr_data.decode("utf-8", "replace")

    @property
    def truncated(self) -> bool:
        """Whether it wrote more to stdout or stderr than was kept."""
        return self.task is not None and (self.task.stdout_truncated or self.task.stderr_truncated)

    @property
    def stats(self) -> Stats:
        """What the attempt cost: milliseconds (`wall_ms`, `cpu_ms`, `queue_ms`, ...), `peak_memory_bytes`, ..."""
        return self.task.stats if self.task is not None else Stats()

    @property
    def worker_id(self) -> str | None:
        """Where it ran."""
        return self.task.worker_id if self.task is not None else None

    @property
    def artifacts(self) -> dict[str, Artifact]:
        """The files that it left in `/out`: path -> `path`, `bytes` (their number), `sha256`."""
        return {each.path: each for each in self.task.artifacts} if self.task is not None else {}

    @property
    def counts(self) -> Counts:
        """How many tasks succeeded, failed, were cancelled."""
        return self.job.counts

    @property
    def module_sha256(self) -> str | None:
        """The digest of the .wasm that ran; it can be run again under this name."""
        return self.job.module_sha256

    def check(self) -> Self:
        """This result where it is `ok`; raises `TaskFailed` where it is not."""
        if not self.ok:
            raise TaskFailed(self)  # type: ignore[arg-type] # one of the two below
        return self

    def _artifact(self, path: str) -> Artifact:
        found = self.artifacts.get(path)
        if found is None:
            left = ", ".join(sorted(self.artifacts)[:5]) or "it left none"
            raise NotFound(f"job {self.job_id} left no {path!r} in /out", hint=f"artifacts: {left}")
        return found

    def __repr__(self) -> str:
        return shown.line(self.job, self.task, self.ended)

    def _repr_html_(self) -> str:
        return shown.html(self.job, self.task, self.ended, self.stdout_data, self.stderr_data)


class Result(_Outcome):
    """What a run gave: outcome, output, statistics, files; more is fetched by its methods.

    Shows itself in one line in a REPL, with its output in a notebook.
    """

    def __init__(self, client: Client, job: views.Job, task: views.Result | None = None, **output: Any) -> None:
        super().__init__(job, task, **output)
        self._client = client

    def read(self, path: str) -> bytes:
        """The bytes of one artifact; raises `NotFound` where the task left no such file."""
        call = calls.artifact(self.job_id, self._artifact(path).path, index=self.index)
        return self._client.send(calls.read(call))

    def download(self, directory: str | Path = ".", *paths: str) -> list[Path]:
        """Write artifacts (all, where no `paths` are named) below `directory`; returns where they are."""
        written = []
        for each in [self._artifact(path) for path in paths] or self.artifacts.values():
            target = below(Path(directory), each.path)
            with replacing(target, each.sha256) as file:
                self._client.download(calls.artifact(self.job_id, each.path, index=self.index), file)
            written.append(target)
        return written

    def module(self) -> bytes:
        """The .wasm that ran: run again, here or under any WASI runtime, it does the same."""
        return self._client.send(calls.read(calls.module(self.job_id)))

    def tasks(self, *, failed: bool = False) -> Iterator[Result]:
        """The results of an array's tasks by index, fetched page by page; `failed`: of those that did not succeed."""
        for task in self._client.tasks(self.job_id, failed=failed):
            yield self._client.result_of(self.job, task)


class AsyncResult(_Outcome):
    """What a run gave; the same as `Result`, with methods to await."""

    def __init__(self, client: AsyncClient, job: views.Job, task: views.Result | None = None, **output: Any) -> None:
        super().__init__(job, task, **output)
        self._client = client

    async def read(self, path: str) -> bytes:
        """The bytes of one artifact; raises `NotFound` where the task left no such file."""
        call = calls.artifact(self.job_id, self._artifact(path).path, index=self.index)
        return await self._client.send(calls.read(call))

    async def download(self, directory: str | Path = ".", *paths: str) -> list[Path]:
        """Write artifacts (all, where no `paths` are named) below `directory`; returns where they are."""
        written = []
        for each in [self._artifact(path) for path in paths] or self.artifacts.values():
            target = below(Path(directory), each.path)
            with replacing(target, each.sha256) as file:
                await self._client.download(calls.artifact(self.job_id, each.path, index=self.index), file)
            written.append(target)
        return written

    async def module(self) -> bytes:
        """The .wasm that ran: run again, here or under any WASI runtime, it does the same."""
        return await self._client.send(calls.read(calls.module(self.job_id)))

    async def tasks(self, *, failed: bool = False) -> AsyncIterator[AsyncResult]:
        """The results of an array's tasks by index, fetched page by page; `failed`: of those that did not succeed."""
        async for task in self._client.tasks(self.job_id, failed=failed):
            yield await self._client.result_of(self.job, task)
