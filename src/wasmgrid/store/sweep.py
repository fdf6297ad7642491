"""What a leader asks to find what no notice told it: narrow queries, because they are asked again and again.

Several servers commit at the same time, and a number is drawn before its row is committed: a row may become visible
after rows with higher numbers, however long after. So nothing here is asked only "above the last one seen".
"""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa

from wasmgrid.store.schema import jobs

_open_ids = (
    sa.select(jobs.c.id, jobs.c.cancel_requested_at.is_not(None))
    .where(jobs.c.finished_at.is_(None), jobs.c.id > sa.bindparam("after_id"))
    .order_by(jobs.c.id)
    .limit(sa.bindparam("limit", type_=sa.Integer))
)
_still_open = sa.select(jobs.c.id).where(
    jobs.c.finished_at.is_(None), jobs.c.id.in_(sa.bindparam("ids", expanding=True))
)


def open_ids(connection: sa.Connection, *, after_id: int, limit: int) -> list[tuple[int, bool]]:
    """(number, whether its end was asked for) of every tenant's unfinished jobs above `after_id`, in order."""
    rows = connection.execute(_open_ids, {"after_id": after_id, "limit": limit})
    return [(job_id, cancel) for job_id, cancel in rows]


def ended(connection: sa.Connection, job_ids: Collection[int]) -> set[int]:
    """Those of these jobs that are finished, or gone."""
    still = connection.execute(_still_open, {"ids": list(job_ids)}).scalars()
    return set(job_ids).difference(still)
