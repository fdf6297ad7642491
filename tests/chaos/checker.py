"""What must hold after any run, whatever was done to its parts. Pure: records in, violations out, in words.

- What was acknowledged has ended, as its program must, under one id for its key.
- What a client saw first is what every server says for ever, and the attempt that it came from was started.
- No attempt starts twice, and no task runs again unless a fault of its worker, or its own failure, explains that. A
  build whose last job was cancelled is stopped, and begins again for the next.
- No two attempts of a task run at once, unless the worker of the older one could not be told.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tests.chaos.records import Fault, FaultKind, Json, Start, Submission, TaskEnd, end_of

OWN_FAILURE = "will be retried: "  # how the store's reason of an attempt begins whose program failed by itself
CRASHES = 3
_BY_LEADER = {"cancelled", "lost"}  # may be its word of an attempt that never reached its worker
_FIELDS = {"attempt": "attempt", "worker": "worker_id", "outcome": "outcome"}
_CRASHES = {FaultKind.KILL, FaultKind.RUNNER}
# A NATS server that is silent takes its workers' leases with it, as their cable does; one that died is left at once.
_SILENT = {FaultKind.PAUSE, FaultKind.FREEZE, FaultKind.CUT, FaultKind.CUT_IN, FaultKind.CUT_OUT}


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All that a run left. `ends`: per server, each job's JSON as it is after everything; `results` those of arrays.

    `reasons`: (kind, attempt, index) -> why that attempt ended without ending its task, as the store keeps it. `path`:
    the parts between workers and leader. `grace_s`: how long after a fault was undone it may still have consequences
    (a lease, a take-over, a busy machine). `builds`: job -> the build that its module comes from.
    """

    submissions: Sequence[Submission]
    starts: Sequence[Start]
    faults: Sequence[Fault]
    ends: Mapping[str, Mapping[int, Json]]
    reasons: Mapping[tuple[str, int, int], str]
    results: Mapping[int, Sequence[TaskEnd]]
    path: frozenset[str]
    grace_s: float
    builds: Mapping[int, int]


def violations(evidence: Evidence) -> list[str]:
    """What must not be, in words; empty where all is well."""
    return [*_of_submissions(evidence), *_of_starts(evidence)]


def _of_submissions(evidence: Evidence) -> Iterator[str]:
    seen: dict[int, str] = {}
    for one in evidence.submissions:
        if len(one.ids) != 1:
            yield f"{one.key}: acknowledged as {sorted(one.ids)}"
            continue
        [job_id] = one.ids
        if seen.setdefault(job_id, one.key) != one.key:
            yield f"job {job_id} is both {seen[job_id]} and {one.key}"
        yield from _of_ends(evidence, one, job_id)


def history(evidence: Evidence) -> Iterator[str]:
    """Every start of every job whose end is not its program's, for whoever must find out why."""
    for one in evidence.submissions:
        if one.first_end is None or not one.program.right(one.first_end):
            yield f"{one.key} ({one.program.name}), acknowledged at {one.acknowledged_at:.2f}: {one.ids}"
            for start in sorted(start for start in evidence.starts if start.kind == "run" and start.id in one.ids):
                reason = evidence.reasons.get(("run", start.attempt, start.index), "its end")
                yield f"  {_told(start)} to {start.ended_at or 0:.2f}: {reason}"


def _of_ends(evidence: Evidence, one: Submission, job_id: int) -> Iterator[str]:
    what = f"job {job_id} ({one.program.name})"
    if one.first_end is None:
        yield f"{what}: acknowledged, and never seen to end"
        return
    if not one.program.right(one.first_end) and not _excused(evidence, one):
        yield f"{what}: ended as {_short(one.first_end)}"
    yield from _of_results(evidence, one, job_id, what)
    for later in one.other_ends:
        yield f"{what}: first {_short(one.first_end)}, a moment later {_short(later)}"
    for server, jobs in evidence.ends.items():
        if job_id not in jobs:
            yield f"{what}: {server} does not know it"
        elif (last := end_of(jobs[job_id])) != one.first_end:
            yield f"{what}: first {_short(one.first_end)}, in the end {server} says {_short(last)}"


def _of_results(evidence: Evidence, one: Submission, job_id: int, what: str) -> Iterator[str]:
    """Each task has one result, and the attempt that it came from was started."""
    tasks, single = list(evidence.results.get(job_id, [])), (one.first_end or {}).get("result")
    if single:
        tasks = [TaskEnd(index=0, **{ours: single[theirs] for ours, theirs in _FIELDS.items()})]
    if one.program.tasks is not None:
        counts = Counter(task.index for task in tasks)
        twice = sorted(index for index, count in counts.items() if count > 1)
        missing = sorted(set(range(one.program.tasks)) - set(counts))
        if (twice or missing or len(counts) > one.program.tasks) and not _unbuilt(one, tasks):
            yield f"{what}: {len(tasks)} results of {one.program.tasks} tasks, twice {twice[:9]}, missing {missing[:9]}"
    starts = [start for start in evidence.starts if (start.kind, start.id) == ("run", job_id)]
    ran = {(start.attempt, start.worker, start.index) for start in starts}
    for task in tasks:
        told_by_worker = task.worker and task.outcome not in _BY_LEADER
        if told_by_worker and (task.attempt, task.worker, task.index) not in ran:
            whose = f"{task.worker} has no start of attempt {task.attempt}"
            yield f"{what}: {whose} at task {task.index}, whose result was recorded"


def _unbuilt(one: Submission, tasks: list[TaskEnd]) -> bool:
    """An array that ended before it had a module has a single result, of no attempt."""
    return (one.first_end or {}).get("state") != "succeeded" and [task.attempt for task in tasks] == [0]


def _excused(evidence: Evidence, one: Submission) -> bool:
    """A job whose runner or worker was killed three times is lost, and may say so."""
    end = one.first_end or {}
    [job_id] = one.ids
    if (end.get("result") or {}).get("outcome") != "lost":
        return False
    kills = [fault for fault in evidence.faults if fault.kind in _CRASHES]
    starts = [start for start in evidence.starts if (start.kind, start.id) == ("run", job_id)]
    return sum(any(_during(fault, start) for fault in kills) for start in starts) >= CRASHES


def _of_starts(evidence: Evidence) -> Iterator[str]:
    failing = {job_id for one in evidence.submissions if one.program.own_failures for job_id in one.ids}
    for (kind, number, index), starts in _by_task(evidence.starts).items():
        what = f"{kind} {number}" + (f" task {index}" if index else "")
        for before, after in pairwise(starts):
            # A leader that dies before it has noted a program's own failure leaves no reason; it was one all the same.
            own = kind == "run" and number in failing and before.ended_at is not None and before.ended_at < after.at
            reason = evidence.reasons.get((kind, before.attempt, index), OWN_FAILURE if own else "")
            if before.attempt == after.attempt:
                yield f"{what}: attempt {before.attempt} started twice, on {before.worker} and on {after.worker}"
            elif not reason.startswith(OWN_FAILURE) and not (
                _explained(evidence, before, after) or _forsaken(evidence, before)
            ):
                yield f"{what}: {_told(before)} ({reason or 'unknown why'}), then {_told(after)}: no fault explains it"
            elif (before.ended_at is None or before.ended_at > after.at) and not _deaf(evidence, before, after.at):
                yield f"{what}: {_told(before)} still ran when {_told(after)} began"


def _by_task(starts: Iterable[Start]) -> dict[tuple[str, int, int], list[Start]]:
    found: defaultdict[tuple[str, int, int], list[Start]] = defaultdict(list)
    for start in sorted(starts):
        found[start.kind, start.id, start.index].append(start)
    return found


def _explained(evidence: Evidence, before: Start, after: Start) -> bool:
    """Whether something was done, while the first attempt was held, to its worker or to the way to it."""
    for fault in evidence.faults:
        met = fault.began_at <= after.at and before.at <= fault.ended_at + evidence.grace_s
        if met and (fault.target == before.worker or (fault.target in evidence.path and fault.kind in _SILENT)):
            return True
    return False


def _forsaken(evidence: Evidence, start: Start) -> bool:
    """Whether it is the start of a build, and every job that waited for it was cancelled meanwhile.

    Its jobs are told by their source: one that is cancelled before its build has ended keeps no number of it. An answer
    to a cancel may be late by as much as a take-over, so of programs that are always cancelled this excuses nearly all.
    """
    if start.kind != "build" or start.ended_at is None:
        return False
    named = [one for one in evidence.submissions if any(evidence.builds.get(each) == start.id for each in one.ids)]
    sources = [one.program.spec["source"] for one in named]
    early = [
        one
        for one in evidence.submissions
        if one.acknowledged_at <= start.ended_at and one.program.spec["source"] in sources
    ]
    stayed = any(one.cancel_acknowledged_at is None for one in early)
    left = any(start.at <= (one.cancel_acknowledged_at or 0.0) <= start.ended_at + evidence.grace_s for one in early)
    return left and not stayed


def _deaf(evidence: Evidence, start: Start, at: float) -> bool:
    """Whether the worker could not be told in time, or could not note what it did: killed, paused or cut off."""
    return any(
        (fault.target == start.worker or (fault.target in evidence.path and fault.kind in _SILENT))
        and fault.began_at <= at
        and start.at <= fault.ended_at + evidence.grace_s
        for fault in evidence.faults
    )


def _during(fault: Fault, start: Start) -> bool:
    return (
        fault.target == start.worker
        and fault.ended_at >= start.at
        and fault.began_at <= (start.ended_at or fault.began_at)
    )


def _told(start: Start) -> str:
    return f"attempt {start.attempt} on {start.worker} at {start.at:.2f}"


def _short(end: Json) -> str:
    result = end.get("result") or {}
    return f"{end['state']}: {result.get('outcome')} {result.get('exit_code')} {result.get('message') or ''}".strip()
