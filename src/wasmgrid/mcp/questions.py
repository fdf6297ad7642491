"""What an agent may ask: the arguments of each tool. Their types are its schema, their words are what it reads."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

DEFAULT_TIME_LIMIT_S = 10.0
DEFAULT_MEMORY_MB = 256
DEFAULT_WAIT_S = 45.0  # many clients give up after a minute
MOST_WAIT_S = 600.0
MOST_INPUTS = 10_000

_SOURCE_BYTES = 1 << 20
_TEXT_BYTES = 4 << 20

JobNumber = Annotated[int, Meta(ge=1, description="The job, by the number that an earlier answer gave as job_id.")]
Index = Annotated[int, Meta(ge=0, description="Which task of the job, where it has several.")]
Wait = Annotated[
    float,
    Meta(
        ge=0,
        le=MOST_WAIT_S,
        description="Answer after this many seconds at the latest. A job that is not finished then goes on: get_job.",
    ),
]
Texts = dict[str, Annotated[str, Meta(max_length=_TEXT_BYTES)]]


class Arguments(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What every tool's arguments are: named, and none that it does not know."""


class Program(Arguments, kw_only=True):
    """A program and its limits, as `run_code` and `run_function` take them."""

    source: Annotated[
        str, Meta(max_length=_SOURCE_BYTES, description="The program's source text, one file. Or give `project`.")
    ] = ""
    project: Annotated[
        dict[str, Annotated[str, Meta(max_length=_SOURCE_BYTES)]],
        Meta(
            max_length=500,
            description="A program of several files instead of `source`: path -> text, with its Cargo.toml or go.mod "
            "where it has one. There is no network at build time: dependencies must be among the files.",
        ),
    ] = {}
    language: Annotated[
        str, Meta(max_length=40, description="One of list_languages. Recognised from the source where it is left out.")
    ] = ""
    time_limit_s: Annotated[
        float, Meta(gt=0, description="Seconds that one run may take. Compiling does not count.")
    ] = DEFAULT_TIME_LIMIT_S
    memory_mb: Annotated[int, Meta(ge=1, description="MiB that the program may use.")] = DEFAULT_MEMORY_MB
    wait_s: Wait = DEFAULT_WAIT_S


class RunCode(Program, kw_only=True):
    """`run_code`."""

    args: Annotated[list[str], Meta(max_length=1000, description="Command-line arguments.")] = []
    stdin: Annotated[
        str, Meta(max_length=_TEXT_BYTES, description="Standard input; without it there is none: end of file at once.")
    ] = ""
    env: Annotated[dict[str, str], Meta(max_length=100, description="Environment variables; it has no others.")] = {}
    files: Annotated[
        Texts,
        Meta(
            max_length=100,
            description='Text files that it can read: path -> text. "data.csv" is /in/data.csv; /absolute/paths stay.',
        ),
    ] = {}


class RunFunction(Program, kw_only=True):
    """`run_function`."""

    function: Annotated[str, Meta(min_length=1, max_length=200, description="The function's name in the source.")]
    inputs: Annotated[
        list[Any],
        Meta(
            min_length=1,
            max_length=MOST_INPUTS,
            description="One call for each: a list holds the arguments of one call ([[2, 3], [4, 5]]), anything else "
            "is its only argument ([1, 2, 3]).",
        ),
    ]


class ListLanguages(Arguments):
    """`list_languages`."""


class ListJobs(Arguments):
    """`list_jobs`."""


class GetJob(Arguments, kw_only=True):
    """`get_job`."""

    job_id: JobNumber
    wait_s: Wait = 0.0


class CancelJob(Arguments, kw_only=True):
    """`cancel_job`."""

    job_id: JobNumber


class ReadOutput(Arguments, kw_only=True):
    """`read_output`."""

    job_id: JobNumber
    stream: Annotated[str, Meta(pattern=r"^(stdout|stderr)\Z", description="stdout or stderr.")] = "stdout"
    offset: Annotated[int, Meta(ge=0, description="The first byte wanted.")] = 0
    index: Index = 0


class ReadArtifact(Arguments, kw_only=True):
    """`read_artifact`."""

    job_id: JobNumber
    path: Annotated[str, Meta(min_length=1, max_length=4096, description="A path of the job's list of artifacts.")]
    offset: Annotated[int, Meta(ge=0, description="The first byte wanted.")] = 0
    index: Index = 0
