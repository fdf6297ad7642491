"""The tools: each takes its arguments, asks the grid and gives an answer. No protocol here, and no error dealt with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from wasmgrid.mcp import answers, questions, reading, running
from wasmgrid.mcp.answers import Answer, CallResult, JobAnswer
from wasmgrid.mcp.running import Report
from wasmgrid.mcp.session import Session
from wasmgrid.sdk import calls, views
from wasmgrid.sdk.async_client import AsyncClient


@dataclass(frozen=True)
class Tool:
    """A tool as an agent sees it. `reads_only`: it changes nothing; `destroys`: it may end something that runs."""

    name: str
    title: str
    description: str
    arguments: type[questions.Arguments]
    answer: type[Any]
    run: Callable[[Session, Any, Report], Awaitable[Answer]]
    reads_only: bool = True
    destroys: bool = False


async def run_code(session: Session, asked: questions.Program, report: Report) -> JobAnswer:
    """Submit, follow, show; where the agent cancels its request, the job is cancelled."""
    async with session.client() as client:
        job = await running.submitted(client, session, asked)
        async with running.cancelled_with_its_request(client, job.id):
            return await _shown(client, await running.followed(client, job.id, report, asked.wait_s))


async def get_job(session: Session, asked: questions.GetJob, report: Report) -> JobAnswer:
    """A job now, or at its end; one that waits says why."""
    session.check_own(asked.job_id)
    async with session.client() as client:
        return await _shown(client, await running.followed(client, asked.job_id, report, asked.wait_s))


async def cancel_job(session: Session, asked: questions.CancelJob, report: Report) -> JobAnswer:
    """A job's end, awaited for a moment."""
    session.check_own(asked.job_id)
    async with session.client() as client:
        await client.send(calls.cancel(asked.job_id))
        return await _shown(client, await running.followed(client, asked.job_id, report, running.CANCEL_S))


async def list_jobs(session: Session, _: questions.ListJobs, __: Report) -> answers.Jobs:
    """The newest twenty: of the grid where the session may see them all, else its own."""
    async with session.client() as client:
        if session.bounds.all_jobs:
            jobs = (await client.send(calls.jobs(limit=20))).jobs
        else:
            jobs = [await client.send(calls.job(job_id)) for job_id in reversed(session.jobs[-20:])]
    return answers.Jobs(
        jobs=[answers.JobLine(job_id=job.id, name=job.name, state=job.state, reason=job.state_reason) for job in jobs]
    )


async def list_languages(session: Session, _: questions.ListLanguages, __: Report) -> answers.Languages:
    """What the workers can compile or run."""
    async with session.client() as client:
        found = (await client.send(calls.toolchains())).toolchains
    return answers.Languages(
        languages=[
            answers.LanguageLine(language=each.language, version=each.version, ready=each.ready) for each in found
        ]
    )


async def read_output(session: Session, asked: questions.ReadOutput, _: Report) -> answers.Piece:
    """A piece of what a task wrote, also while it runs."""
    session.check_own(asked.job_id)
    async with session.client() as client:
        return await reading.output(client, asked)


async def read_artifact(session: Session, asked: questions.ReadArtifact, _: Report) -> answers.Piece:
    """A piece of a file that a task left."""
    session.check_own(asked.job_id)
    async with session.client() as client:
        return await reading.artifact(client, asked)


async def _shown(client: AsyncClient, job: views.Job) -> JobAnswer:
    failed_to_build = job.result is not None and job.result.outcome == "build_failed"
    said = await client.send(calls.diagnostics(job.id)) if failed_to_build or _has_diagnostics(job) else ""
    results = await _results(client, job) if job.done and job.spec.function and job.is_array else None
    return answers.of_job(job, diagnostics=said, results=results)


def _has_diagnostics(job: views.Job) -> bool:
    return job.build is not None and bool(job.build.diagnostics)


async def _results(client: AsyncClient, job: views.Job) -> list[CallResult]:
    """What each call gave, in the order of the inputs."""
    found = [
        CallResult(
            index=each.index,
            value=msgspec.json.decode(each.return_value) if each.succeeded else None,
            outcome=None if each.succeeded else f"exited({each.exit_code})" if each.exit_code else each.outcome,
            message=each.message,
        )
        async for each in client.values(job.id)
    ]
    return sorted(found, key=lambda each: each.index)


_HOW = (
    "The program is compiled and run in a WebAssembly sandbox on the user's own machines: no network, no files but "
    "those given to it, one thread, exact limits. "
)

TOOLS = [
    Tool(
        "run_code",
        "Run a program",
        _HOW + "Give its source text; it needs a main (a script is one by itself). What it prints comes back, with its "
        "exit code, the compiler's diagnostics, and a list of the files that it wrote to /out. Source that was "
        "compiled before starts at once.",
        questions.RunCode,
        JobAnswer,
        run_code,
        reads_only=False,
    ),
    Tool(
        "run_function",
        "Call a function for many inputs",
        _HOW + "Give source that holds a plain function (no main needed, no glue), its name and a list of inputs; the "
        "calls run in parallel, each under the limits, and results come back by index. Numbers, text, booleans and "
        "lists of them can be arguments and results.",
        questions.RunFunction,
        JobAnswer,
        run_code,
        reads_only=False,
    ),
    Tool(
        "list_languages",
        "List languages",
        "The languages that can be run, with their versions.",
        questions.ListLanguages,
        answers.Languages,
        list_languages,
    ),
    Tool(
        "list_jobs",
        "List jobs",
        "The newest twenty jobs of this session, newest first.",
        questions.ListJobs,
        answers.Jobs,
        list_jobs,
    ),
    Tool(
        "get_job",
        "Look at a job",
        "A job as it is now; with wait_s, at its end. Use it when run_code answered before the job was finished.",
        questions.GetJob,
        JobAnswer,
        get_job,
    ),
    Tool(
        "read_output",
        "Read a job's output",
        "More of stdout or stderr than the beginning that run_code gives, from a byte offset; also while it runs.",
        questions.ReadOutput,
        answers.Piece,
        read_output,
    ),
    Tool(
        "read_artifact",
        "Read a file that a job left",
        "A file that the program wrote to /out, from a byte offset; pictures come as pictures.",
        questions.ReadArtifact,
        answers.Piece,
        read_artifact,
    ),
    Tool(
        "cancel_job",
        "Cancel a job",
        "Ends a job of this session; what it wrote so far is kept.",
        questions.CancelJob,
        JobAnswer,
        cancel_job,
        reads_only=False,
        destroys=True,
    ),
]
