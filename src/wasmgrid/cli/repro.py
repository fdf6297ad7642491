"""`repro`: a job as a folder that runs it again anywhere: its .wasm, what it was given, and a script."""

from __future__ import annotations

import shlex
import shutil
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click
from msgspec.structs import replace

from wasmgrid.cli import ids, options
from wasmgrid.cli.connecting import client
from wasmgrid.cli.fetching import save
from wasmgrid.cli.terminal import one_line
from wasmgrid.core.bundle import is_bundle
from wasmgrid.core.errors import InvalidModule, InvalidPath, NotFound
from wasmgrid.core.paths import check_guest, check_relative
from wasmgrid.sdk import calls
from wasmgrid.sdk.client import Client
from wasmgrid.sdk.views import InputOf, Job

_SCRIPT = """\
#!/bin/sh
# Job {id} of wasmgrid{name}, again, under any WASI (preview 1) runtime: WASI_RUNTIME=wasmtime|wasmer|wazero sh run.sh
# The job had {memory_mb} MB of memory and {time_s:g} s, which only wasmtime is told. Inputs can be written to here.
set -eu
cd "$(dirname "$0")"
rm -rf root && cp -R fresh root
case "$(basename "${{WASI_RUNTIME:-wasmtime}}")" in
wasmtime*) set -- run{wasmtime} module.wasm ;;
wasmer*) set -- run{wasmer} module.wasm -- ;;
wazero*) set -- run{wazero} module.wasm ;;
*) echo "unknown runtime: $WASI_RUNTIME" >&2; exit 2 ;;
esac
exec "${{WASI_RUNTIME:-wasmtime}}" "$@"{args} < {stdin}
"""


@click.command()
@options.job_argument
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="DIR", help="What to make (default: repro-ID)."
)
@options.task_index
@options.server
def repro(job: int | str, output: Path | None, index: int | None, server: str | None) -> int:
    """Make a folder that runs a job again without wasmgrid: its .wasm, inputs, arguments, variables, and a run.sh."""
    connection = client(server)
    shown = _of_task(connection.status(ids.number(connection, job)), index)
    if shown.module_sha256 is None:
        raise NotFound(f"job {shown.id} has no module ({shown.state})", hint=f"see why: wasmgrid status {shown.id}")
    folder = output or Path(f"repro-{shown.id}")
    if folder.exists():
        raise InvalidPath(f"{folder} is there already", hint="name another: -o DIR", field="output")
    save(connection, calls.module(shown.id), folder / "module.wasm", sha256=shown.module_sha256)
    if is_bundle((folder / "module.wasm").read_bytes()[:1024]):
        shutil.rmtree(folder)
        raise InvalidModule(
            f"job {shown.id} runs on an interpreter that its module only names, so no other runtime can run it",
            hint=f"take it home as it is: wasmgrid wasm {shown.id} -o job.wasm, and again: wasmgrid run job.wasm",
        )
    root = folder / "fresh"
    (root / "out").mkdir(parents=True)
    for number, each in enumerate(shown.spec.inputs):
        _place(connection, shown.id, number, each, root)
    if shown.spec.stdin is not None:
        save(connection, calls.stdin(shown.id), folder / "stdin")
    path = folder / "run.sh"
    path.write_text(script(shown), encoding="utf-8")
    path.chmod(0o755)
    click.echo(one_line(f"sh {shlex.quote(str(path))}"))
    return 0


def _of_task(job: Job, index: int | None) -> Job:
    """An array as the job of its task `index` alone; any other job as it is."""
    if not job.is_array:
        return job
    if index is None:
        raise click.UsageError(f"job {job.id} has {job.task_count} tasks; say which: --index N")
    if job.spec.lines is not None:
        hint = "run one by itself, with its line as --stdin or as arguments, and take that home"
        raise NotFound(f"the lines of job {job.id} cannot be had back", hint=hint)
    args = [
        "{index}".join(part.replace("{index}", str(index)) for part in arg.split("{{index}}")) for arg in job.spec.args
    ]
    env = {**job.spec.env, "WASMGRID_TASK_INDEX": str(index)}
    return replace(job, spec=replace(job.spec, args=args, env=env))


def script(job: Job) -> str:
    """The run.sh of a job. Everything that the job said is quoted."""
    spec = job.spec
    limits = f" -W max-memory-size={spec.memory_mb << 20} -W timeout={max(1, round(spec.time_limit_s))}s"
    pairs = [f"{name}={value}" for name, value in sorted(spec.env.items())]
    return _SCRIPT.format(
        id=job.id,
        name=f" ({one_line(job.name)})" if job.name else "",
        memory_mb=spec.memory_mb,
        time_s=spec.time_limit_s,
        wasmtime=limits + _words("--dir", ["root::/"]) + _words("--env", pairs),
        wasmer=_words("--mapdir", ["/:root"]) + _words("--env", pairs),
        wazero=_words("-mount", ["root:/"]) + _words("-env", pairs),
        args="".join(" " + shlex.quote(arg) for arg in spec.args),
        stdin="stdin" if spec.stdin is not None else "/dev/null",
    )


def _words(flag: str, values: Sequence[str]) -> str:
    return "".join(f" {flag} {shlex.quote(value)}" for value in values)


def _place(connection: Client, job_id: int, number: int, given: InputOf, root: Path) -> None:
    """An input where the guest finds it: a file, or the archive unpacked."""
    check_guest(given.path, field="inputs.path")
    target = root / given.path.lstrip("/")
    if not given.tree:
        save(connection, calls.input_of(job_id, number), target, sha256=given.sha256)
        return
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile() as packed:
        connection.download(calls.input_of(job_id, number), packed)
        packed.seek(0)
        with tarfile.open(fileobj=packed) as archive:
            for member in archive:
                _unpack(archive, member, target)


def _unpack(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    """One file or directory; a server keeps nothing else. `extractall` has no filter in Debian 12's Python 3.11.2."""
    name = member.name.removeprefix("./").rstrip("/")
    if name in {"", "."}:
        return
    place = target / check_relative(name, field="inputs")
    (place if member.isdir() else place.parent).mkdir(parents=True, exist_ok=True)
    reader = archive.extractfile(member) if member.isreg() else None
    if reader is not None:
        with reader, place.open("xb") as writer:
            shutil.copyfileobj(reader, writer)
