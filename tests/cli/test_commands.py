"""Flags, errors, exit codes and how fast a command is there; without any server."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from wasmgrid.cli import exits, options
from wasmgrid.cli.commands import COMMANDS
from wasmgrid.cli.main import main, root
from wasmgrid.core import errors
from wasmgrid.core.errors import WasmgridError
from wasmgrid.home import Home


@pytest.fixture(autouse=True)
def nothing_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("WASMGRID_SERVER", "WASMGRID_TOKEN", "WASMGRID_NATS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WASMGRID_HOME", str(tmp_path / "home"))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    assert f"Usage: wasmgrid {name}" in capsys.readouterr().out


def test_help_lists_all_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for name, (_, text) in COMMANDS.items():
        assert f"  {name} " in shown
        assert text in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["stats"], "Did you mean status?"),
        (["status"], "name a job"),
        (["tasks", "1", "--id", "2"], "name one job"),
        (["tasks", "x"], "not a job's id"),
        (["status", "x"], "names no jobs"),
        (["workers", "--json", "-o", "wide"], "--json is --output json"),
        (["run", "x.c", "--time-limit", "soon"], "write 30s, 10m or 1h30m"),
        (["run", "x.c", "--output-limit", "big"], "write 512K, 16M or 1G"),
        (["run", "x.c", "--require", "arch"], "not KEY=VALUE"),
        (["run", "x.c", "--input", "nothing-there"], "there is no"),
        (["run", "-", "--stdin", "-"], "cannot be both"),
        (["run", "nothing-there.c"], "error[invalid_path]: there is no nothing-there.c"),
        (["run", "x.c", "--no-such-flag"], "No such option"),
        (["status", "1", "-s", "host:port"], "not a server's address"),
    ],
)
def test_usage_errors_are_2(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", [["status", "last"], ["jobs"], ["workers"], ["logs", "1"], ["drain", "w1"], ["join-command"]]
)
def test_nothing_runs(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command) == 125
    assert capsys.readouterr().err == "error[unreachable]: no server is running · start one: wasmgrid up\n"


@pytest.mark.parametrize("how", ["flag", "variable"])
def test_a_configured_server_that_is_gone_is_an_error(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.wat").write_text("(module)")
    command = ["run", str(tmp_path / "x.wat")]
    if how == "flag":
        command += ["-s", "127.0.0.1:1"]
    else:
        monkeypatch.setenv("WASMGRID_SERVER", "127.0.0.1:1")
    assert main(command) == 125
    said = capsys.readouterr().err
    assert said.startswith(
        "error[unreachable]: the server at http://127.0.0.1:1 cannot be reached (connection refused)"
    )
    assert not (tmp_path / "home").exists()  # no silent local grid


def test_the_prototypes_short_flags() -> None:
    context = click.Context(root)
    run, status = root.get_command(context, "run"), root.get_command(context, "status")
    assert run is not None
    assert status is not None
    assert {"-c", "-m", "-j", "-s"} <= _flags(run)
    assert {"-i", "-s"} <= _flags(status)
    defaults = {option.name: option.default for option in run.params}
    assert (defaults["cpus"], defaults["memory_mb"], defaults["disk_mb"]) == (1.0, 1000, 1000)


def _flags(command: click.Command) -> set[str]:
    return {flag for option in command.params for flag in option.opts}


def test_flags_have_units() -> None:
    assert options.Duration().convert("1h30m", None, None) == 5400.0
    assert options.Size().convert("16M", None, None) == 16 << 20
    assert options.Pair().convert("a=b=c", None, None) == ("a", "b=c")


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.InvalidField, 2), (errors.InvalidPath, 2), (errors.FlagRefused, 2), (errors.LanguageUnknown, 2),
        (errors.InvalidModule, 126), (errors.Unreachable, 125), (errors.JobNotFound, 125), (errors.Unavailable, 125),
        (errors.Unauthorized, 125), (errors.SandboxUnavailable, 125),
    ],
)  # fmt: skip
def test_exit_codes_of_our_own_errors(kind: type[WasmgridError], code: int) -> None:
    assert exits.exit_code(kind("x")) == code


def test_a_variable_comes_from_the_flag_or_from_here(monkeypatch: pytest.MonkeyPatch) -> None:
    from wasmgrid.cli.requesting import variables

    monkeypatch.setenv("HERE", "value")
    assert variables(["A=b=c", "B=", "HERE"]) == {"A": "b=c", "B": "", "HERE": "value"}


def test_down_where_nothing_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["down"]) == 0
    assert "nothing runs" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", [["--help"], ["status", "last"], ["workers"], ["drain", "w1"], ["credential", "list"]]
)
def test_commands_import_nothing_heavy(command: list[str], tmp_path: Path) -> None:
    program = (
        "import sys\nfrom wasmgrid.cli.main import main\n"
        f"main({command!r})\n"
        "heavy = {'rich', 'httpx', 'litestar', 'uvicorn', 'numpy', 'wasmtime', 'sqlalchemy', 'nats', 'psutil',"
        " 'asyncio', 'pathspec', 'structlog', 'cryptography', 'nkeys', 'nacl', 'pynvml', 'psycopg'}\n"
        "print('heavy:', sorted(heavy & {name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "heavy: []"


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f"{sys.executable} -m wasmgrid --help | true"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1, exits.BROKEN_PIPE}  # 1 is click's own word for it
    assert done.stderr == ""


def test_a_full_disk_behind_stdout_is_told() -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "wasmgrid", "--help"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 125
    said = "what was to be printed is lost: No space left on device · free some space, or send it elsewhere"
    assert done.stderr == f"error[os]: {said}\n"


@pytest.mark.parametrize("command", [["--help"], ["status", "last"]])
def test_the_executable_is_there_in_no_time(command: list[str]) -> None:
    """In cpu seconds, which other load does not change, and generous: the figures are in docs/benchmarks.md."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([str(Path(sys.executable).with_name("wasmgrid")), *command], check=False, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.6


def test_down_ends_no_process_but_a_server_of_this_home(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = Home.default().create()
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as bystander:
        said = {"url": "http://127.0.0.1:1", "pid": bystander.pid, "started_at": time.time()}
        home.endpoint_file.write_text(json.dumps(said))
        home.lock_file.write_text(f"{bystander.pid}\n")
        assert main(["down"]) == 0
        assert "nothing runs" in capsys.readouterr().err
        assert bystander.poll() is None
        bystander.kill()


def test_ctrl_c_while_modules_are_read_leaves_no_traceback() -> None:
    code = "import wasmgrid.cli, os, signal; os.kill(os.getpid(), signal.SIGINT)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")
    wrong = subprocess.run(
        [sys.executable, "-c", "import wasmgrid.cli; 1 / 0"], capture_output=True, text=True, check=False
    )
    assert "ZeroDivisionError" in wrong.stderr
