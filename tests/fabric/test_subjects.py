"""Subjects: whose they are, and that a credential's patterns cover its own and no others."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmgrid.core.errors import InvalidField
from wasmgrid.fabric import subjects

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}", fullmatch=True)
WORKER_IDS = st.builds(lambda name, number: f"{name}:{number}" if number > 1 else name, NAMES, st.integers(1, 9999))


def _covered(subject: str, patterns: list[str]) -> bool:
    """As NATS matches: `*` is one token, a final `>` one or more."""
    return any(
        re.fullmatch(re.escape(pattern).replace(r"\*", r"[^.]+").replace(">", r".+"), subject) for pattern in patterns
    )


@given(WORKER_IDS)
def test_a_subject_tells_its_speaker(worker_id: str) -> None:
    assert subjects.speaker(subjects.leader(worker_id)) == worker_id
    assert subjects.speaker(subjects.worker(worker_id)) == worker_id
    assert subjects.worker_of(subjects.leader(worker_id)) == subjects.worker(worker_id)
    assert _covered(subjects.leader(worker_id), [subjects.leaders()])
    assert subjects.asked_worker(subjects.worker(worker_id)) == worker_id.partition(":")[0]


@given(WORKER_IDS, NAMES)
def test_a_credential_covers_its_own_workers_alone(worker_id: str, name: str) -> None:
    publish, subscribe = subjects.of_worker(name)
    own = worker_id.partition(":")[0] == name
    assert _covered(subjects.leader(worker_id), publish) == own
    assert _covered(subjects.worker(worker_id), subscribe) == own
    assert _covered(f"{subjects.inbox(worker_id.partition(':')[0])}.x.1", subscribe) == own
    assert not _covered(subjects.leader(worker_id), subscribe)
    assert not _covered(subjects.worker(worker_id), publish)


@given(NAMES)
def test_a_credential_never_covers_what_servers_tell_each_other(name: str) -> None:
    for patterns in subjects.of_worker(name):
        for subject in (subjects.ask(), subjects.changes(), f"{subjects.INBOX}.0123456789abcdef01234567.1"):
            if name != "0123456789abcdef01234567":
                assert not _covered(subject, patterns)


@pytest.mark.parametrize(
    "subject", ["wasmgrid.leader", "wasmgrid.leader.a", "wasmgrid.leader.a.1.x", "x.leader.a.1", ""]
)
def test_what_no_worker_speaks_on_has_no_worker(subject: str) -> None:
    assert subjects.worker_of(subject) is None
    assert subjects.asked_worker(subject.replace("leader", "worker")) is None


@pytest.mark.parametrize("worker_id", ["w1:1", "w1:0", "w1:10000", "w1:02", "w1:", "w1.2", "*:2", ":2"])
def test_hostile_52_ids_that_are_no_workers(worker_id: str) -> None:
    for make in (subjects.leader, subjects.worker):
        with pytest.raises(InvalidField):
            make(worker_id)
