"""`init`: a program and a job file for each language, as new files only. They run in tests/e2e/test_cli_terminal.py."""

from __future__ import annotations

import tomllib
from pathlib import Path

import click
import pytest

from wasmgrid.build.toolchains import LANGUAGES
from wasmgrid.cli import init, jobfile
from wasmgrid.cli.main import main, root

WRITTEN = sorted(set(LANGUAGES) - {"wasm"})


@pytest.mark.parametrize("language", WRITTEN)
def test_a_starter_of_each_language_is_read_as_a_job(language: str, tmp_path: Path) -> None:
    assert main(["init", str(tmp_path / "new"), "--language", language]) == 0
    file = tmp_path / "new" / "job.toml"
    submit = root.get_command(click.Context(root), "submit")
    assert submit is not None
    found = jobfile.read(file, click.Context(submit))
    program = Path(found.program)
    assert program.is_file()
    assert program.suffix in LANGUAGES[language].suffixes
    assert sorted(path.name for path in file.parent.iterdir()) == sorted(["job.toml", program.name])


def test_each_line_that_is_put_aside_in_a_job_file_is_a_key_too(tmp_path: Path) -> None:
    assert main(["init", str(tmp_path)]) == 0
    lines = (tmp_path / "job.toml").read_text().splitlines()
    aside = [line.removeprefix("# ") for line in lines if line.startswith("# ") and (" = " in line or "[" in line[:4])]
    submit = root.get_command(click.Context(root), "submit")
    assert submit is not None
    assert set(tomllib.loads("\n".join(aside))) <= set(jobfile.keys(submit.params))
    assert len(aside) >= 4


def test_there_is_no_starter_but_of_a_language() -> None:
    written = {path.stem for path in (Path(init.__file__).with_name("starters")).glob("*.txt")}
    assert written - {"job.toml"} <= {*LANGUAGES, "typescript"}


@pytest.mark.parametrize("there", ["main.c", "job.toml"])
def test_nothing_is_overwritten(there: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / there).write_text("mine")
    assert main(["init", str(tmp_path), "--language", "c"]) == 2
    assert f"{there} is there already" in capsys.readouterr().err
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(there, "mine")]


def test_a_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "job.toml").symlink_to(tmp_path / "elsewhere")
    assert main(["init", str(tmp_path), "--language", "c"]) == 2
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(("language", "said"), [("wasm", "there is no starter in wasm"), ("cobol", "no language")])
def test_other_languages(language: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(tmp_path), "--language", language]) == 2
    assert said in capsys.readouterr().err
