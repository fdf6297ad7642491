"""New jobs, as one write: of those that wait together, one for all of them, and none is refused for another's sake."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import msgspec
import sqlalchemy as sa

from wasmgrid.core.errors import IdempotencyConflict, InvalidField, WasmgridError
from wasmgrid.core.job import StoredSpec
from wasmgrid.core.lifecycle import JobState
from wasmgrid.store.database import Database
from wasmgrid.store.rows import NewJob, Submitted
from wasmgrid.store.schema import blob_refs, jobs, moment, plain, tallies

SizesOf = Callable[[sa.Connection, Collection[str]], int]
Answer = Submitted | WasmgridError


class Checked(msgspec.Struct, frozen=True):
    """A job that can be kept: its spec as it will be, and of an array one more than its highest index."""

    new: NewJob
    spec: bytes
    end_index: int | None


_encode = msgspec.msgpack.Encoder().encode

_JOB = (
    *("id", "tenant", "name", "language", "state", "spec", "task_count"),
    *("module_sha256", "idempotency_key", "request_sha256"),
)
_TALLY = ("job_id", "tenant", "end_index", "last_seq", "succeeded", "failed", "cancelled", "bytes")

_find_key = sa.select(jobs.c.id, jobs.c.request_sha256, jobs.c.submitted_at).where(
    jobs.c.tenant == sa.bindparam("tenant"), jobs.c.idempotency_key == sa.bindparam("key")
)


class Submissions:
    """Writes of new jobs. `sizes_of` tells the bytes of those blobs that there are."""

    def __init__(self, database: Database, sizes_of: SizesOf) -> None:
        self._sizes_of = sizes_of
        self._next_ids = database.next_ids(jobs.name)
        self._list = database.number_list
        ids = database.numbers("ids")
        self._find_key = database.prepared(_find_key, "tenant", "key")
        self._those = database.prepared(sa.select(jobs.c.id).where(jobs.c.id.in_(sa.select(ids.c.value))), "ids")
        self._insert = database.adder(jobs, *_JOB, "message", "bytes", "submitted_at")
        self._insert_refs = database.adder(blob_refs, "job_id", "sha256", "tenant")
        self._insert_tallies = database.adder(tallies, *_TALLY)

    def submit(self, connection: sa.Connection, given: Sequence[Checked | WasmgridError]) -> list[Answer]:
        """Keep these jobs, or find those that their idempotency keys name; what is an error already stays one."""
        answers: dict[int, Answer] = {at: each for at, each in enumerate(given) if isinstance(each, WasmgridError)}
        left: dict[int, Checked] = {at: each for at, each in enumerate(given) if isinstance(each, Checked)}
        while left:
            fresh: dict[int, Checked] = {}
            keys: set[tuple[str, str]] = set()
            for at, each in left.items():
                key = each.new.idempotency_key
                if key is not None:
                    known = self._known(connection, each.new, key)
                    if known is not None:
                        answers[at] = known
                        continue
                    if (each.new.tenant, key) in keys:
                        continue  # in the next round, when the first of that key is there
                    keys.add((each.new.tenant, key))
                fresh[at] = each
            answers |= self._keep(connection, fresh)
            left = {at: each for at, each in left.items() if at not in answers}
        return [answers[at] for at in range(len(given))]

    def _keep(self, connection: sa.Connection, given: dict[int, Checked]) -> dict[int, Answer]:
        """Insert these. Those whose key another server used at the same time are left out, once it has committed."""
        if not given:
            return {}
        ids, now = self._next_ids(connection, len(given))
        numbered = dict(zip(ids, given.items(), strict=True))
        names = {id_: named_blobs(each.new.spec) for id_, (_, each) in numbered.items()}
        rows = [
            _row(id_, each, self._sizes_of(connection, names[id_]) if names[id_] else 0, now)
            for id_, (_, each) in numbered.items()
        ]
        if self._insert(connection, rows) < len(rows):
            there = {id_ for (id_,) in self._those.rows(connection, self._list([*numbered]))}
            numbered = {id_: each for id_, each in numbered.items() if id_ in there}
        kept = {id_: each for id_, (_, each) in numbered.items()}
        if refs := [(id_, sha256, plain(each.new.tenant)) for id_, each in kept.items() for sha256 in names[id_]]:
            self._insert_refs(connection, refs)
        if arrays := [
            (id_, plain(each.new.tenant), each.end_index, *[0] * 5)
            for id_, each in kept.items()
            if each.end_index is not None
        ]:
            self._insert_tallies(connection, arrays)
        return {at: Submitted(id=id_, existing=False, submitted_at=moment(now)) for id_, (at, _) in numbered.items()}

    def _known(self, connection: sa.Connection, new: NewJob, key: str) -> Answer | None:
        """The job that has this idempotency key, or that it is another request's."""
        for id_, request_sha256, submitted_at in self._find_key.rows(connection, plain(new.tenant), plain(key)):
            if request_sha256 == new.request_sha256:
                return Submitted(id=id_, existing=True, submitted_at=moment(submitted_at))
            return IdempotencyConflict(
                f"the idempotency key {key!r} was used for another request, job {id_}",
                hint=f"look at that job: wasmgrid status {id_} · or use a new key",
                field="idempotency_key",
            )
        return None


class Submission(msgspec.Struct, frozen=True):
    """Some of them, that go together: an answer for each."""

    by: Submissions
    jobs: Sequence[Checked | WasmgridError]

    @property
    def kind(self) -> str:
        """All of them go together."""
        return "submission"

    def __call__(self, connection: sa.Connection) -> list[Answer]:
        """Write them."""
        return self.by.submit(connection, self.jobs)

    def together(self, connection: sa.Connection, operations: Sequence[Submission]) -> list[list[Answer]]:
        """Write them all."""
        answers = iter(self.by.submit(connection, [each for some in operations for each in some.jobs]))
        return [[next(answers) for _ in some.jobs] for some in operations]


def checked(new: NewJob) -> Checked | WasmgridError:
    """Whether it can be kept: its text is Unicode (no lone surrogates), its state one in which a job begins."""
    if new.state not in {JobState.BUILDING, JobState.QUEUED}:
        return InvalidField(f"a new job cannot be {new.state}", field="state")
    try:
        (new.idempotency_key or "").encode()
        return Checked(new, _encode(new.spec), _end_index(new))
    except UnicodeEncodeError as error:
        return InvalidField(f"text that is not Unicode cannot be kept: {error.reason}")
    except InvalidField as error:
        return error


def named_blobs(spec: StoredSpec) -> set[str]:
    """The blobs that must stay while the job does; its module is in a column of its own."""
    names = {given.sha256 for given in spec.inputs}
    if spec.source is not None:
        names.add(spec.source.sha256)
    if spec.stdin is not None and spec.stdin.sha256 is not None:
        names.add(spec.stdin.sha256)
    if spec.lines is not None:
        names.add(spec.lines.sha256)
    return names


def _row(job_id: int, given: Checked, blob_bytes: int, now: int) -> tuple[object, ...]:
    new = given.new
    return (
        job_id,
        plain(new.tenant),
        plain(new.spec.name),
        new.spec.source.language if new.spec.source is not None else None,
        new.state.value,
        given.spec,
        new.task_count,
        new.module_sha256 or new.spec.module_sha256,
        None if new.idempotency_key is None else plain(new.idempotency_key),
        new.request_sha256,
        "",
        len(given.spec) + blob_bytes,
        now,
    )


def _end_index(new: NewJob) -> int | None:
    if new.spec.array is not None:
        first, count = new.spec.indexes[-1]
        return first + count
    return new.task_count if new.task_count > 1 else None
