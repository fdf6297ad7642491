"""The group-commit writer: shared commits, refusals that stay alone, faults that nobody is told were successes."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.store.commits import count_commits

from wasmgrid.core.errors import NotFound, Unavailable
from wasmgrid.store.migrate import upgrade
from wasmgrid.store.schema import workers
from wasmgrid.store.sqlite import Sqlite
from wasmgrid.store.writer import MAX_WAITING, Writer

NOW = datetime(2026, 1, 2, tzinfo=UTC)
ROW = {"tenant": "default", "state": "joined", "hold": "", "note": "", "joined_at": NOW, "changed_at": NOW}


@contextlib.asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Writer]:
    database = Sqlite(path / "db.sqlite3")
    await asyncio.to_thread(upgrade, database)
    writer = Writer(database)
    try:
        yield writer
    finally:
        await writer.close()


def insert(name: str, connection: sa.Connection, info: bytes = b"") -> str:
    connection.execute(sa.insert(workers).values(ROW | {"id": name, "info": info}))
    return name


def there(path: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(path / "db.sqlite3")) as connection:
        return [name for (name,) in connection.execute("SELECT id FROM workers ORDER BY id")]


async def busy(writer: Writer) -> tuple[threading.Event, asyncio.Task[bool]]:
    """A request that holds the writer's thread until the event is set: what comes meanwhile waits together."""
    gate, begun = threading.Event(), threading.Event()

    def hold(_: sa.Connection) -> bool:
        begun.set()
        return gate.wait(60)

    task = asyncio.create_task(writer.run(hold))
    assert await asyncio.to_thread(begun.wait, 60)
    return gate, task


@dataclass(frozen=True)
class Alike:
    """Notes with which others it was run."""

    kind: str
    name: str
    groups: list[list[str]]

    def __call__(self, connection: sa.Connection) -> str:
        return self.together(connection, [self])[0]

    def together(self, _connection: sa.Connection, operations: Sequence[Alike]) -> list[str]:
        self.groups.append([each.name for each in operations])
        return [each.name for each in operations]


def test_what_is_alike_goes_together_whatever_is_between(tmp_path: Path) -> None:
    async def main() -> None:
        groups: list[list[str]] = []
        async with opened(tmp_path) as writer:
            gate, first = await busy(writer)
            kinds = "abab.ba"  # the dot: a request that is like no other
            rest = [
                writer.run(partial(insert, "w") if kind == "." else Alike(kind, f"{kind}{at}", groups))
                for at, kind in enumerate(kinds)
            ]
            tasks = [asyncio.ensure_future(each) for each in rest]
            await asyncio.sleep(0)
            gate.set()
            await first
            assert await asyncio.gather(*tasks) == ["a0", "b1", "a2", "b3", "w", "b5", "a6"]
        assert groups == [["a0", "a2"], ["b1", "b3"], ["b5"], ["a6"]]

    asyncio.run(main())


def test_requests_that_wait_together_share_a_commit(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as writer:
            commits = count_commits(writer)
            gate, first = await busy(writer)
            rest = [asyncio.create_task(writer.run(lambda c, i=i: insert(f"w{i:03}", c))) for i in range(200)]  # type: ignore[misc]
            await asyncio.sleep(0)
            assert not any(task.done() for task in rest)
            gate.set()
            await first
            assert await asyncio.gather(*rest) == [f"w{i:03}" for i in range(200)]
            assert len(commits) == 2

    asyncio.run(main())
    assert len(there(tmp_path)) == 200


def test_a_refused_request_is_rolled_back_alone(tmp_path: Path) -> None:
    def half(connection: sa.Connection) -> None:
        insert("half", connection)
        raise NotFound("what it needed")

    async def main() -> None:
        async with opened(tmp_path) as writer:
            with pytest.raises(NotFound):
                await writer.run(half)  # alone in its transaction
            gate, first = await busy(writer)
            rest = [
                asyncio.create_task(writer.run(operation))
                for operation in (
                    lambda c: insert("a", c),
                    half,
                    lambda c: insert("a", c),  # violates the key: a mistake of ours, and the database's own refusal
                    lambda c: insert("b", c),
                )
            ]
            await asyncio.sleep(0)
            gate.set()
            await first
            answers = await asyncio.gather(*rest, return_exceptions=True)
            assert [type(answer).__name__ for answer in answers] == ["str", "NotFound", "IntegrityError", "str"]

    asyncio.run(main())
    assert there(tmp_path) == ["a", "b"]


@dataclass
class Counted:
    """An insert that can be run together with others; how often that was done, and with how many."""

    name: str
    times: list[int]
    kind: str = "insert"

    def __call__(self, connection: sa.Connection) -> str:
        return insert(self.name, connection)

    def together(self, connection: sa.Connection, operations: Sequence[Counted]) -> list[str]:
        self.times.append(len(operations))
        return [insert(each.name, connection) for each in operations]


def test_requests_of_one_kind_are_run_together_in_their_order(tmp_path: Path) -> None:
    times: list[int] = []

    async def main() -> None:
        async with opened(tmp_path) as writer:
            names = ["a", "b", "between", "c", "d", "e"]
            for turn, doubled in enumerate(("", "b")):
                gate, first = await busy(writer)
                rest = [
                    asyncio.create_task(
                        writer.run((lambda c: insert("between", c)) if name == "between" else Counted(name, times))
                    )
                    for name in (names if not turn else ["f", doubled, "g"])
                ]
                await asyncio.sleep(0)
                gate.set()
                await first
                answers = await asyncio.gather(*rest, return_exceptions=True)
                if not turn:
                    assert answers == names
                else:  # one that is refused is refused alone
                    assert [type(answer).__name__ for answer in answers] == ["str", "IntegrityError", "str"]

    asyncio.run(main())
    assert times == [2, 3, 3]
    assert there(tmp_path) == ["a", "b", "between", "c", "d", "e", "f", "g"]


def test_a_database_that_is_locked_is_unavailable_and_recovers(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as writer:
            await writer.run(lambda c: insert("before", c))
            with contextlib.closing(sqlite3.connect(tmp_path / "db.sqlite3", isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                answers = await asyncio.gather(
                    *(writer.run(lambda c, i=i: insert(f"w{i}", c)) for i in range(5)),  # type: ignore[misc]
                    return_exceptions=True,
                )
                assert all(isinstance(answer, Unavailable) for answer in answers)
                assert "another process" in str(answers[0])
                other.execute("ROLLBACK")
            assert await writer.run(lambda c: insert("after", c)) == "after"

    asyncio.run(main())
    assert there(tmp_path) == ["after", "before"]


def test_a_full_database_refuses_what_does_not_fit_and_takes_what_does(tmp_path: Path) -> None:
    def limit(pages: int | None, connection: sa.Connection) -> None:
        used = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {used + pages if pages is not None else 1 << 30}")

    def large(connection: sa.Connection) -> str:
        return insert("large", connection, b"x" * 1_000_000)

    async def main() -> None:
        async with opened(tmp_path) as writer:
            await writer.run(lambda c: limit(2, c))
            with pytest.raises(Unavailable, match="disk is full") as caught:
                await writer.run(large)
            assert "wasmgrid prune" in str(caught.value)

            await writer.run(lambda c: limit(2, c))  # the connection is a new one
            gate, first = await busy(writer)
            rest = [
                asyncio.create_task(writer.run(operation))
                for operation in (lambda c: insert("a", c), large, lambda c: insert("b", c))
            ]
            await asyncio.sleep(0)
            gate.set()
            await first
            answers = await asyncio.gather(*rest, return_exceptions=True)
            # The batch is lost with its transaction; each is tried alone, on a connection without that limit.
            assert answers[0] == "a"
            assert answers[2] == "b"

    asyncio.run(main())
    assert {"a", "b"} <= set(there(tmp_path))


def test_what_waits_at_the_end_is_committed_and_what_comes_later_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as writer:
            gate, first = await busy(writer)
            rest = [asyncio.create_task(writer.run(lambda c, i=i: insert(f"w{i}", c))) for i in range(3)]  # type: ignore[misc]
            await asyncio.sleep(0)
            closing = asyncio.create_task(writer.close())
            await asyncio.sleep(0)
            with pytest.raises(Unavailable):
                await writer.run(lambda c: insert("late", c))
            gate.set()
            await asyncio.gather(first, closing, *rest)

    asyncio.run(main())
    assert there(tmp_path) == ["w0", "w1", "w2"]


def test_a_caller_that_is_gone_disturbs_nobody(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as writer:
            gate, first = await busy(writer)
            gone = asyncio.create_task(writer.run(lambda c: insert("gone", c)))
            stays = asyncio.create_task(writer.run(lambda c: insert("stays", c)))
            await asyncio.sleep(0)
            gone.cancel()
            gate.set()
            assert await stays == "stays"
            await first

    asyncio.run(main())
    assert "stays" in there(tmp_path)


def test_a_flood_is_refused_rather_than_hoarded(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as writer:
            gate, first = await busy(writer)
            flood = [asyncio.create_task(writer.run(lambda _: True)) for _ in range(MAX_WAITING + 100)]
            await asyncio.sleep(0)
            gate.set()
            answers = await asyncio.gather(*flood, return_exceptions=True)
            assert await first
            refused = [answer for answer in answers if isinstance(answer, Unavailable)]
            assert 0 < len(refused) <= 101
            assert answers.count(True) == len(answers) - len(refused)

    asyncio.run(main())
