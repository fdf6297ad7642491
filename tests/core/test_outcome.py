"""Every outcome has an exit code that shells know, and only a clean exit is a success."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmgrid.core.outcome import Outcome, OutcomeKind, exited, process_exit_code

CODES = {
    OutcomeKind.TIMED_OUT: 124,
    OutcomeKind.REJECTED: 125,
    OutcomeKind.LOST: 125,
    OutcomeKind.BUILD_FAILED: 126,
    OutcomeKind.CANCELLED: 130,
    OutcomeKind.TRAPPED: 134,
    OutcomeKind.OUT_OF_MEMORY: 137,
    OutcomeKind.OUT_OF_FUEL: 152,
    OutcomeKind.OUTPUT_LIMIT: 153,
}


@pytest.mark.parametrize("kind", sorted(set(OutcomeKind) - {OutcomeKind.EXITED}))
def test_every_other_end_has_its_code_and_is_no_success(kind: OutcomeKind) -> None:
    assert process_exit_code(Outcome(kind=kind)) == CODES[kind]
    assert not Outcome(kind=kind, exit_code=0).succeeded


@given(st.integers(0, 255))
def test_a_program_keeps_its_own_code(code: int) -> None:
    assert process_exit_code(exited(code)) == code
    assert exited(code).succeeded == (code == 0)
