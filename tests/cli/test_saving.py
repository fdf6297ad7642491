"""What `dev` looks at: which files a job is made of, and when one of them was saved."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from wasmgrid.cli.saving import Files, of_job
from wasmgrid.core.errors import InvalidField
from wasmgrid.sdk.given import GivenInput

NOTHING = {"stdin": None, "each_line": None, "from_json": None, "inputs": ()}


def test_a_job_is_made_of_all_that_it_reads() -> None:
    given = {**NOTHING, "stdin": "-", "each_line": "names.txt", "inputs": (GivenInput(Path("data")),)}
    assert of_job("main.c", given) == [Path("main.c"), Path("names.txt"), Path("data")]


def test_a_save_is_seen_however_an_editor_does_it(tmp_path: Path) -> None:
    source = tmp_path / "main.c"
    source.write_text("one")
    files = Files(lambda: [source])
    before = files.settled()
    assert list(before) == [str(source)]
    (tmp_path / "beside.txt").write_text("of no concern")
    assert files.seen() == before
    new = tmp_path / "main.c~"
    new.write_text("two")
    os.utime(new, ns=(0, 0))
    new.rename(source)  # same name, another file: as many editors save
    assert files.until_changed(before)
    source.unlink()
    assert files.seen() == {}


def test_of_a_project_what_is_sent_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "main.rs").write_text("")
    (tmp_path / ".gitignore").write_text("*.log\n")
    (tmp_path / "run.log").write_text("")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text("")
    assert {Path(name).name for name in Files(lambda: [tmp_path]).seen()} == {"main.rs", ".gitignore"}


def test_a_job_file_that_is_half_saved_loses_nothing(tmp_path: Path) -> None:
    source, job = tmp_path / "main.c", tmp_path / "job.toml"
    source.write_text("")
    job.write_text("")
    answers = [[source]]

    def named() -> list[Path]:
        if not answers:
            raise InvalidField("half saved")
        return answers.pop()

    files = Files(named, always=[job])
    assert set(files.seen()) == set(files.seen()) == {str(source), str(job)}


def test_waiting_ends_when_it_is_told_to(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    files = Files(lambda: [tmp_path / "none"])
    assert not files.until_changed(files.seen(), stop)
