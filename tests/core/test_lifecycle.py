"""No sequence of events leaves the lifecycle, and what has finished stays so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmgrid.core.errors import InvalidTransition
from wasmgrid.core.lifecycle import FINISHED, TRANSITIONS, JobEvent, JobState, advance


@given(st.sampled_from([JobState.BUILDING, JobState.QUEUED]), st.lists(st.sampled_from(JobEvent), max_size=50))
def test_no_sequence_of_events_leaves_the_lifecycle(state: JobState, events: list[JobEvent]) -> None:
    for event in events:
        try:
            after = advance(state, event)
        except InvalidTransition:
            assert (state, event) not in TRANSITIONS
            continue
        assert after in JobState
        assert state not in FINISHED
        state = after


@pytest.mark.parametrize("state", sorted(FINISHED))
@pytest.mark.parametrize("event", JobEvent)
def test_what_has_finished_stays_as_it_ended(state: JobState, event: JobEvent) -> None:
    with pytest.raises(InvalidTransition, match=state):
        advance(state, event)


def test_every_state_can_be_reached_and_every_unfinished_one_can_finish() -> None:
    reached, frontier = {JobState.BUILDING, JobState.QUEUED}, [JobState.BUILDING, JobState.QUEUED]
    while frontier:
        here = frontier.pop()
        following = {after for (state, _), after in TRANSITIONS.items() if state is here}
        assert following or here in FINISHED
        frontier += following - reached
        reached |= following
    assert reached == set(JobState)


@pytest.mark.parametrize("state", sorted(set(JobState) - FINISHED))
def test_whatever_has_not_finished_can_be_cancelled(state: JobState) -> None:
    assert advance(state, JobEvent.CANCELLED) is JobState.CANCELLED
