"""How jobs are named: numbers, last, last~2, ranges and lists; and what a command does where one of several fails."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs

import click
import pytest
from tests.sdk.scripted import Answer, Asked, Scripted, serving

from wasmgrid.cli import exits, ids
from wasmgrid.cli.ids import JobId, JobIds, Span
from wasmgrid.cli.main import main
from wasmgrid.core.errors import InvalidField, JobNotFound
from wasmgrid.sdk.client import Client

THERE = [20, 17, 16, 15, 13, 12]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Scripted]:
    """A server that has the jobs of THERE."""
    with serving() as script:
        monkeypatch.setenv("WASMGRID_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("WASMGRID_SERVER", script.url)
        script.respond = respond
        yield script


def job(number: int) -> dict[str, object]:
    state = "failed" if number == 13 else "succeeded"
    return {"id": number, "state": state, "finished": True, "name": f"n{number}"}


def respond(asked: Asked) -> Answer:
    path, _, query = asked.target.partition("?")
    if path == "/v1/jobs":  # pages of two at most, whatever is asked for
        below = int(query.partition("cursor=")[2] or 99)
        page = [number for number in THERE if number < below][:2]
        return Answer({"jobs": [job(each) for each in page], "next_cursor": None if page[-1:] == [12] else page[-1]})
    named = path.split("/")[3]
    number = THERE[0] if named == "last" else int(named)
    if number not in THERE:
        return Answer({"code": "job_not_found", "detail": f"no job {number}"}, 404, kind="application/problem+json")
    return Answer(b"", 204) if asked.method == "DELETE" else Answer(job(number))


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("12", [Span(12, 12)]),
        ("last", [Span("last", "last")]),
        ("last~2", [Span("last~2", "last~2")]),
        ("12-15,20", [Span(12, 15), Span(20, 20)]),
        ("last~3-last,1", [Span("last~3", "last"), Span(1, 1)]),
    ],
)
def test_words_that_name_jobs(text: str, spans: list[Span]) -> None:
    assert JobIds().convert(text, None, None) == tuple(spans)


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "1-", "1,", "1--2", "last~", "last~x", "\u0661", "1 2", "1-2-3", "9" * 19]
)
def test_words_that_name_none(text: str) -> None:
    with pytest.raises(click.BadParameter, match="names no jobs"):
        JobIds().convert(text, None, None)
    with pytest.raises(click.BadParameter, match="not a job's id"):
        JobId().convert(text, None, None)


def test_numbers_are_found_once_and_in_order(server: Scripted) -> None:
    with Client(server.url) as client:
        spans = [*JobIds().convert("last~1-last,15,12-13", None, None), *JobIds().convert("13,last~5", None, None)]
        assert ids.numbers(client, spans) == [17, 18, 19, 20, 15, 12, 13]
        assert ids.number(client, "last~2") == 16
        with pytest.raises(JobNotFound, match="there are only 6 jobs, so there is no last~6"):
            ids.number(client, "last~6")
        with pytest.raises(InvalidField, match="the first number is the lower one"):
            ids.numbers(client, [Span(5, 3)])
        with pytest.raises(InvalidField, match="more than 10,000 jobs"):
            ids.numbers(client, [Span(1, 10_001)])


def test_all_are_tried_and_the_exit_code_says_that_one_failed(
    server: Scripted, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", "12-15,20"]) == 125
    said = capsys.readouterr()
    assert [line for line in said.out.splitlines() if "name:" in line] == [
        f'\tname: "n{number}"' for number in (12, 13, 15, 20)
    ]
    assert said.err == "error[job_not_found]: no job 14\n"
    assert main(["delete", "last", "14", "15"]) == 125
    assert capsys.readouterr().err.splitlines() == [
        "job 20 is forgotten", "error[job_not_found]: no job 14", "job 15 is forgotten",
    ]  # fmt: skip


def test_a_job_that_is_over_is_not_being_cancelled(server: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cancel", "last~1"]) == 0
    assert capsys.readouterr().err == "job 17 is succeeded already · run it again: wasmgrid rerun 17\n"
    assert not [asked for asked in server.asked if asked.method == "POST"]


def test_json_of_several_is_a_line_each(server: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "12-13", "-o", "json"]) == 0
    assert [line[:9] for line in capsys.readouterr().out.splitlines()] == ['{"id":12,', '{"id":13,']
    assert main(["status", "12-13", "-o", "wide"]) == 0
    assert capsys.readouterr().out.splitlines()[0].split() == [
        "ID", "NAME", "STATE", "OUTCOME", "LANGUAGE", "TASKS", "WORKER", "RUN", "CPU", "PEAK", "SUBMITTED", "WHY",
    ]  # fmt: skip


def test_exit_codes_of_several() -> None:
    assert [exits.of_several(codes) for codes in ([], [0, 0], [0, 125], [3, 3], [3, 125])] == [0, 0, 125, 3, 1]


def test_jobs_are_asked_for_by_all_that_the_api_knows(server: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["jobs", "sweep", "--state", "failed", "--state", "running", "--language", "c", "--worker", "w1"]
    assert main([*words, "--since", "2026-11-28T20:00Z", "--until", "1h", "--sort", "oldest"]) == 0
    query = parse_qs(server.asked[-1].target.partition("?")[2])
    until = datetime.fromisoformat(query.pop("until")[0])
    assert timedelta(minutes=59) < datetime.now(UTC) - until < timedelta(minutes=70)
    assert query == {
        "search": ["sweep"], "state": ["failed", "running"], "language": ["c"], "worker": ["w1"],
        "since": ["2026-11-28T20:00:00Z"], "sort": ["oldest"], "limit": ["20"],
    }  # fmt: skip
    assert "there are more: --cursor" in capsys.readouterr().err
    assert main(["jobs", "a", "--search", "b"]) == 2
    assert main(["jobs", "--since", "soon"]) == 2


def test_a_search_that_was_cut_short_goes_on(server: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    pages = [
        {"jobs": [], "next_cursor": "90", "cut": True},
        {"jobs": [job(20)], "next_cursor": "15", "cut": True},
        {"jobs": [job(13)], "next_cursor": None},
    ]
    server.respond = lambda _: Answer(pages[len(server.asked) - 1])
    assert main(["jobs", "n"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["ID", "20", "13"]
    assert ["cursor=90" in asked.target for asked in server.asked] == [False, True, False]
