"""What a worker writes down: what died with its former life, and the history of every start."""

from __future__ import annotations

from pathlib import Path

import pytest

from wasmgrid.core.wire import Held
from wasmgrid.worker import starts
from wasmgrid.worker.starts import Began, Ended, Life, Ran, Starts


def held(attempt: int, *, gpus: list[int] | None = None, count: int = 1) -> Held:
    return Held(attempt=attempt, kind="run", id=10 + attempt, index=3, gpus=gpus or [], count=count)


def test_what_did_not_end_died(tmp_path: Path) -> None:
    first = Starts(tmp_path, "a")
    for attempt in (1, 2, 3):
        first.began(held(attempt))
    first.ended(2)
    first.flush()
    with (tmp_path / starts.NAME).open("ab") as file:
        file.write(b'{"type":"beg')  # the kill came in the middle of a line
    second = Starts(tmp_path, "b")
    assert [(one.attempt, one.id, one.index, one.running, one.phase) for one in second.died] == [
        (1, 11, 3, 3, "died"),
        (3, 13, 3, 3, "died"),
    ]
    assert Starts(tmp_path, "c").died == []  # told once: a life that began nothing had nothing to lose


def test_an_orderly_end_leaves_nothing_that_died(tmp_path: Path) -> None:
    log = Starts(tmp_path, "a")
    log.began(held(1))
    log.close()
    assert Starts(tmp_path, "b").died == []


def test_of_several_tasks_those_that_ended_and_those_that_never_began_are_told_apart(tmp_path: Path) -> None:
    log = Starts(tmp_path, "a")
    log.began(held(1, count=10))
    log.ran(1, [(3, 2), (5, 1)])
    log.ended(1, [(6, 7)])
    log.began(held(2, count=4))
    entries = list(starts.read(tmp_path))
    assert [(one.index, one.count) for one in entries if isinstance(one, Began)] == [(3, 10), (3, 4)]
    assert [one.tasks for one in entries if isinstance(one, Ran)] == [[(3, 2), (5, 1)]]
    assert [one.rest for one in entries if isinstance(one, Ended)] == [[(6, 7)]]
    [died] = Starts(tmp_path, "b").died
    assert (died.attempt, died.index, died.count, died.running) == (2, 3, 4, None)


def test_what_began_before_the_file_was_turned_over_is_not_forgotten(tmp_path: Path) -> None:
    log = Starts(tmp_path, "a", rotate_bytes=500)
    log.began(held(1, gpus=[0]))
    for attempt in range(2, 50):
        log.began(held(attempt))
        log.ended(attempt)
    log.flush()
    assert sum(isinstance(one, Began) and one.attempt == 1 for one in starts.read(tmp_path)) == 0
    assert [one.attempt for one in Starts(tmp_path, "b").died] == [1]


def test_the_history_keeps_every_life_start_and_end(tmp_path: Path) -> None:
    first = Starts(tmp_path, "a")
    first.began(held(1, gpus=[0, 2]))
    first.ended(1)
    first.ended(2)  # it never began
    first.began(held(3))
    with (tmp_path / starts.NAME).open("ab") as file:
        file.write(b'{"type":"beg')
    second = Starts(tmp_path, "b")
    second.began(held(4))
    entries = list(starts.read(tmp_path))
    assert [type(one) for one in entries] == [Life, Began, Ended, Began, Life, Began]
    assert [one.incarnation for one in entries if isinstance(one, Life)] == ["a", "b"]
    assert [(one.attempt, one.gpus) for one in entries if isinstance(one, Began)] == [(1, [0, 2]), (3, []), (4, [])]
    assert all(one.at > 0 for one in entries)


def test_the_history_is_bounded(tmp_path: Path) -> None:
    log = Starts(tmp_path, "a", rotate_bytes=1000)
    for attempt in range(100):
        log.began(held(attempt))
        log.ended(attempt)
    log.close()
    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    assert len(sizes) == 2
    assert sum(sizes) < 2500
    begun = [one.attempt for one in starts.read(tmp_path) if isinstance(one, Began)]
    assert begun == list(range(begun[0], 100))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_hostile_68_a_full_disk_does_not_stop_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / starts.NAME).symlink_to("/dev/full")
    history = Starts(tmp_path, "a")
    history.began(held(1))
    history.ended(1)
    history.close()
    said = capsys.readouterr()  # where to, depends on whether a process has set up its log before
    assert max(text.count("not written down") for text in (said.out, said.err, caplog.text)) == 1
