"""Every way in which a task can end, and the exit codes of the command line."""

from __future__ import annotations

from scripts.docs.reference.fields import attributes
from scripts.docs.reference.table import code, table

from wasmgrid.core import outcome
from wasmgrid.core.outcome import Outcome, OutcomeKind, process_exit_code


def page() -> str:
    """The table."""
    said = attributes(outcome, "OutcomeKind")
    rows = []
    for kind in OutcomeKind:
        own = kind is OutcomeKind.EXITED
        exit_code = "the program's own" if own else str(process_exit_code(Outcome(kind=kind)))
        rows.append([code(kind.value), exit_code, said[kind.name]])
    return table(["outcome", "exit code", "meaning"], rows)
