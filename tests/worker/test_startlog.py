"""What a worker writes down: what died with its former life, and the history of every start."""

from __future__ import annotations

from pathlib import Path

import pytest

from wasmgrid.core.wire import Held
from wasmgrid.worker import startlog, starts
from wasmgrid.worker.startlog import StartLog
from wasmgrid.worker.starts import Began, Ended, Life, Starts


def held(attempt: int, *, gpus: list[int] | None = None) -> Held:
    return Held(attempt=attempt, kind="run", id=10 + attempt, index=3, gpus=gpus or [])


def test_what_was_not_settled_died(tmp_path: Path) -> None:
    path = tmp_path / "started.log"
    first = StartLog(path)
    for attempt in (1, 2, 3):
        first.began(held(attempt))
    first.settled(2)
    with path.open("ab") as file:
        file.write(b'{"type":"beg')  # the kill came in the middle of a line
    second = StartLog(path)
    assert [(one.attempt, one.id, one.index, one.phase) for one in second.died] == [
        (1, 11, 3, "died"),
        (3, 13, 3, "died"),
    ]
    second.close()
    assert StartLog(path).died == []


def test_an_orderly_end_leaves_nothing_that_died(tmp_path: Path) -> None:
    log = StartLog(tmp_path / "started.log")
    log.began(held(1))
    log.close()
    assert StartLog(tmp_path / "started.log").died == []


def test_it_is_written_anew_with_what_is_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startlog, "COMPACT_LINES", 50)
    log = StartLog(tmp_path / "started.log")
    log.began(held(1))
    for attempt in range(2, 200):
        log.began(held(attempt))
        log.settled(attempt)
    assert len((tmp_path / "started.log").read_bytes().splitlines()) < 60
    assert [one.attempt for one in StartLog(tmp_path / "started.log").died] == [1]


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
    second.close()
    entries = list(starts.read(tmp_path))
    assert [type(one) for one in entries] == [Life, Began, Ended, Began, Life, Began]
    assert [one.incarnation for one in entries if isinstance(one, Life)] == ["a", "b"]
    assert [(one.attempt, one.gpus) for one in entries if isinstance(one, Began)] == [(1, [0, 2]), (3, []), (4, [])]
    assert all(one.at > 0 for one in entries)


def test_the_history_is_bounded(tmp_path: Path) -> None:
    log = Starts(tmp_path, "a", rotate_bytes=1000)
    for attempt in range(100):
        log.began(held(attempt))
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
