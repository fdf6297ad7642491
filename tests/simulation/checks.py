"""What must hold at any moment: on each machine in truth, in each leader's memory, and at the end of it all."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from tests.simulation.engine import Violation

from wasmgrid.core.job import TaskId, TaskResult
from wasmgrid.core.lifecycle import FINISHED, JobState
from wasmgrid.core.outcome import OutcomeKind
from wasmgrid.core.ranges import Run, format_runs
from wasmgrid.core.resources import Resources
from wasmgrid.core.wire import Assign, RunWork, Work
from wasmgrid.core.worker import gpu_matches
from wasmgrid.protocol.chunks import runs_of
from wasmgrid.protocol.jobs import Job
from wasmgrid.protocol.state import State
from wasmgrid.protocol.views import live
from wasmgrid.scheduling.shape import build_shape

if TYPE_CHECKING:
    from tests.simulation.attempt import Run as Runner
    from tests.simulation.machine import Machine
    from tests.simulation.server import Server
    from tests.simulation.store import JobRow
    from tests.simulation.world import World


# What a run of many seeds must have come to: else the rules about it held nothing.
RARE = {
    "adopted": "an attempt was taken over by a new leader",
    "stale_results": "a result came too late to count",
    "leases_lost": "a worker was silent for too long",
    "retries": "a failure was tried again",
    "crashes": "a task was lost with its runner",
    "refused": "a worker refused an assignment",
    "quarantined": "a worker was quarantined",
}
LOOKS_EVERY = 3  # ticks
TWO_LEAD = "two servers led at once"
REFUSED = "a former leader's write was refused"
REACHED = frozenset({*RARE.values(), TWO_LEAD, REFUSED})


class Checks:
    """The rules about states; `ledger.py` has those about histories."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._looked = 0

    def began(self, machine: Machine, run: Runner) -> None:
        """A machine begins an attempt."""
        self._capacity(machine)
        self._suits(machine, run.work)

    def _capacity(self, machine: Machine) -> None:
        """A machine never runs more than it has, and no GPU serves two."""
        used = machine.runners.used
        if not used.fits_in(machine.info.capacity):
            raise Violation(f"{machine.name} runs {used}, it has {machine.info.capacity}")
        taken: set[int] = set()
        for run in machine.runners.runs.values():
            if run.stopping or not isinstance(run.work, RunWork) or not (run.work.gpus or run.work.need.gpus):
                continue
            gpus = set(run.work.gpus)
            if len(gpus) != run.work.need.gpus or not gpus <= {gpu.index for gpu in machine.info.gpus}:
                raise Violation(f"{machine.name} was given GPUs {run.work.gpus} for {run.work.need.gpus}")
            if taken & gpus:
                raise Violation(f"{machine.name} runs two tasks on GPU {taken & gpus}")
            taken |= gpus

    def lease(self, machine: Machine) -> None:
        """Who is out of reach for longer than the lease runs nothing: others may run it by then."""
        silent_s = machine.clock.now() - machine.reached_at
        running = [run.attempt for run in machine.runners.runs.values() if not run.stopping]
        if machine.agent is not None and running and silent_s > machine.agent.lease_s * 1.05 + 1.0:
            raise Violation(f"{machine.name} is out of reach for {silent_s:.1f} s and still runs {running}")

    def _suits(self, machine: Machine, work: Work) -> None:
        """A machine runs only what it is such as is asked for."""
        info = machine.info
        if not isinstance(work, RunWork):
            return
        spec = self.world.store.rows.jobs[work.job_id].spec
        wrong = {key: value for key, value in spec.require.items() if info.labels.get(key) != value}
        if wrong or info.builds_only:
            raise Violation(f"{machine.name} ({info.labels}) runs job {work.job_id}, which needs {spec.require}")
        for gpu in info.gpus:
            if gpu.index in work.gpus and not gpu_matches(gpu, model=spec.gpu_model, memory_mb=spec.gpu_memory_mb):
                raise Violation(f"{machine.name} gives {gpu} to job {work.job_id}, which wants {spec.gpu_model}")

    def bookkeeping(self, server: Server) -> None:
        """A leader's count of what is free is what its tasks leave; what waits is held by nobody."""
        if server.leader is None:
            return
        state, reached = server.leader.state, self.world.engine.reached
        reached.update(words for name, words in RARE.items() if getattr(state.counters, name))
        if sum(other.leader is not None for other in self.world.servers) > 1:
            reached.add(TWO_LEAD)
        self._rooms(server, state)
        self._looked += 1
        if self._looked % LOOKS_EVERY:
            return
        waits: dict[int, list[Run]] = defaultdict(list)
        for run in state.scheduler.queue.runs():
            if run.kind == "run":
                waits[run.job].append((run.first, run.count))
        for job in state.jobs.values():
            if job.state not in FINISHED and job.state is not JobState.BUILDING:
                self._everywhere_once(server, state, job, waits[job.id])

    def _rooms(self, server: Server, state: State) -> None:
        pool = state.scheduler.pool
        for info in pool.infos():
            used = info.capacity - pool.free(info.id)
            held = [chunk for chunk in state.chunks.held_by(info.id) if chunk.has_room]
            least = sum((chunk.shape.need for chunk in held), Resources())
            aside = [build_shape("").need for worker_id, _ in state.unclaimed.values() if worker_id == info.id]
            if not (least.fits_in(used) and used.fits_in(sum(aside, least))):
                raise Violation(f"{server.name} counts {used} used at {info.id}, what it holds takes {least}")
            gpus = sorted(index for chunk in held for index in chunk.gpus)
            if gpus != sorted(pool.gpus_used(info.id)) or len(gpus) != len(set(gpus)):
                raise Violation(f"{server.name} counts the GPUs {pool.gpus_used(info.id)} at {info.id}, tasks: {gpus}")
            if any(not chunk.left for chunk in held):
                raise Violation(f"{server.name} keeps room at {info.id} for what is over: {held}")

    def _everywhere_once(self, server: Server, state: State, job: Job, waits: list[Run]) -> None:
        """Each task of a job is done, or held by one worker, or waits, or is kept back: in one place each."""
        everywhere = job.done.copy()
        places = {
            "queued": waits,
            "gated": job.gated.runs(),
            "withheld": job.withheld.runs(),
            "resting": [(index, 1) for index in job.resting if index not in job.withheld],
        }
        for chunk in state.chunks.of("run", job.id):
            places[f"held as {chunk.attempt}"] = list(runs_of(chunk.left))
        for place, runs in places.items():
            if any(everywhere.add(*run) != run[1] for run in runs):
                raise Violation(f"{server.name} has tasks of job {job.id} twice, once {place}: {told(job, places)}")
        if everywhere != job.indexes:
            raise Violation(f"{server.name} has tasks of job {job.id} nowhere: {told(job, places)}")
        shown = live(state, job.id)
        if shown is None or sum(shown.counts.values()) != job.task_count:
            raise Violation(f"{server.name} shows job {job.id} of {job.task_count} tasks as {shown}")

    def told_finished(self, server: Server, job_id: int) -> None:
        """Whoever is told that a job ended can read its end in the store."""
        if self.world.store.rows.jobs[job_id].state is None:
            raise Violation(f"{server.name} calls job {job_id} finished, the store does not")

    def order(self, server: Server, worker_id: str, message: Assign) -> None:
        """Of equals, the older task goes first, and the more urgent one before it; and only to who takes new ones."""
        if server.leader is None:
            return
        state = server.leader.state
        lease, chunk = state.leases.get(worker_id), state.chunks.get(message.attempt)
        if lease is None or lease.closed:
            raise Violation(f"{server.name} gives {message} to {worker_id}, which takes nothing new: {lease}")
        if not isinstance(message.work, RunWork):
            return
        job = state.jobs[message.work.job_id]
        self._stays(worker_id, job.id)
        self._within(server, state, job)
        if chunk is None or chunk.assign is not message or any(index in job.history for index in chunk.left):
            return
        tenant, queue = state.scheduler.shares.number(job.tenant), state.scheduler.queue
        for run in queue.runs():
            group = queue.groups[run.slot]
            if (
                (group.shape, group.tenant, run.module) == (chunk.shape, tenant, job.module_sha256)
                and not group.avoid
                and (-group.priority, run.order) < (-job.spec.priority, job.id)
            ):
                raise Violation(f"{server.name} places {chunk} before {run}")

    def _within(self, server: Server, state: State, job: Job) -> None:
        """As many at once as the job allows, and nothing more of one that is to end."""
        chunks = state.chunks.holding("run", job.id)
        if job.spec.concurrency is not None and chunks > job.spec.concurrency:
            raise Violation(
                f"{server.name} gives out chunk {chunks} of job {job.id} with {job.spec.concurrency} at once"
            )
        if job.gave_up:
            raise Violation(f"{server.name} goes on with job {job.id}: {job.failures} failed of {job.spec.max_fails}")

    def _stays(self, worker_id: str, job_id: int) -> None:
        """Who leaves soon takes nothing that may last longer; where nothing kept the leader from knowing it."""
        machine, engine = self.world.machines[worker_id], self.world.engine
        if machine.ends_at is None or self.world.ledger.is_disturbed(worker_id, 10.0):
            return
        stays_s, limit_s = machine.ends_at - engine.now, self.world.store.rows.jobs[job_id].spec.time_limit_s
        if limit_s > stays_s + 0.5:
            raise Violation(f"{worker_id} leaves in {stays_s:.1f} s, and is given job {job_id} with {limit_s} s")

    # ---- at the end

    def finished(self) -> None:
        """Everything ended, as it had to."""
        rows = self.world.store.rows
        for row in rows.jobs.values():
            if row.state is None:
                raise Violation(f"job {row.id} never ended")
            results = [rows.results[TaskId("run", row.id, index)] for index in row.done]
            self._state_follows(row, results)
            for result in results:
                self._possible(row, result)
        for number, request in enumerate(self.world.clients.work, start=1):
            if request.starts_within_s is not None:
                waited_s = self.world.ledger.starts[TaskId("run", number)][0].at - request.when
                if waited_s > request.starts_within_s:
                    raise Violation(f"job {number} waited {waited_s:.1f} s for its start, that is starvation")

    def _state_follows(self, row: JobRow, results: list[TaskResult]) -> None:
        kinds = {result.outcome.kind for result in results}
        if OutcomeKind.CANCELLED in kinds and not row.gave_up:
            right = JobState.CANCELLED
        elif all(result.outcome.succeeded for result in results):
            right = JobState.SUCCEEDED
        else:
            right = JobState.FAILED
        if row.state is not right:
            raise Violation(f"job {row.id} is called {row.state}, its tasks make it {right}: {sorted(kinds)}")

    def _possible(self, row: JobRow, result: TaskResult) -> None:
        """Whether the guest could end like this at all."""
        guest, spec = self.world.guests[row.id].at(result.index), row.spec
        message = result.outcome.message or ""
        match result.outcome.kind:
            case OutcomeKind.EXITED:
                fails = guest.does == "fails"
                right = result.outcome.succeeded is not fails and guest.does not in {
                    "endless",
                    "traps",
                    "slow",
                    "crashes",
                }
            case OutcomeKind.TRAPPED:
                right = guest.does == "traps"
            case OutcomeKind.TIMED_OUT:
                by_leader = (spec.queue_timeout_s and "queue_timeout" in message) or (
                    spec.total_timeout_s and "total_timeout" in message
                )
                right = guest.does == "slow" or bool(by_leader)
            case OutcomeKind.CANCELLED:
                right = row.cancel_requested or row.gave_up
            case OutcomeKind.OUT_OF_MEMORY:
                right = guest.does == "hungry" and row.cancel_requested  # it would have been tried again with more
            case OutcomeKind.LOST:
                right = True  # the ledger counted the crashes
            case OutcomeKind.BUILD_FAILED:
                right = spec.source is not None and self.world.source_fails(spec.source)
            case OutcomeKind.REJECTED:
                right = self.world.ledger.rejections > 0
            case _:
                right = False
        if not right:
            raise Violation(f"job {row.id}[{result.index}] ended as {result.outcome}, its guest: {guest}")


def told(job: Job, places: dict[str, list[Run]]) -> str:
    """Where the tasks of a job are, for people."""
    known = {"done": job.done.runs(), **places}
    return "; ".join(f"{place}: {format_runs(runs)}" for place, runs in known.items() if runs)
