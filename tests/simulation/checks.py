"""What must hold at any moment: on each machine in truth, in each leader's memory, and at the end of it all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation.engine import Violation

from wasmgrid.core.job import TaskId, TaskResult
from wasmgrid.core.lifecycle import JobState
from wasmgrid.core.outcome import OutcomeKind
from wasmgrid.core.resources import Resources
from wasmgrid.core.wire import RunWork, Work
from wasmgrid.core.worker import gpu_matches
from wasmgrid.scheduling.shape import build_shape

if TYPE_CHECKING:
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
TWO_LEAD = "two servers led at once"
REFUSED = "a former leader's write was refused"
REACHED = frozenset({*RARE.values(), TWO_LEAD, REFUSED})


class Checks:
    """The rules about states; `ledger.py` has those about histories."""

    def __init__(self, world: World) -> None:
        self.world = world

    def capacity(self, machine: Machine) -> None:
        """A machine never runs more than it has, and no GPU serves two."""
        if not machine.used.fits_in(machine.info.capacity):
            raise Violation(f"{machine.name} runs {machine.used}, it has {machine.info.capacity}")
        taken: set[int] = set()
        for run in machine.runs.values():
            if run.stopping or not isinstance(run.work, RunWork):
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
        running = [run.attempt for run in machine.runs.values() if not run.stopping]
        if machine.agent is not None and running and silent_s > machine.agent.lease_s * 1.05 + 1.0:
            raise Violation(f"{machine.name} is out of reach for {silent_s:.1f} s and still runs {running}")

    def suits(self, machine: Machine, work: Work) -> None:
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
        pool, queue = state.scheduler.pool, state.scheduler.queue
        for task in state.tasks:
            if task.id in queue and (task.attempt is not None or task.settling or task.withheld):
                raise Violation(f"{task} waits and is held at once")
            if task.id not in queue and task.attempt is None and not (task.settling or task.withheld or task.resting):
                raise Violation(f"{task} is nowhere")
        for info in pool.infos():
            free = pool.free(info.id)
            held = [task for task in state.tasks.held_by(info.id) if not task.settling]
            over = [
                task for task in held if task.assign is None and task.phase == "finished"
            ]  # adopted so: takes nothing
            aside = [build_shape("").need for worker_id, _ in state.unclaimed.values() if worker_id == info.id]
            most = sum([*aside, *(task.shape.need for task in held)], Resources())
            least = sum((task.shape.need for task in held if task not in over), Resources())
            used = info.capacity - free
            if not (least.fits_in(used) and used.fits_in(most)):
                raise Violation(f"{server.name} counts {free} free at {info.id} of {info.capacity}, tasks take {most}")
            gpus = sorted(index for task in held for index in task.gpus)
            if gpus != sorted(pool.gpus_used(info.id)) or len(gpus) != len(set(gpus)):
                raise Violation(f"{server.name} counts the GPUs {pool.gpus_used(info.id)} at {info.id}, tasks: {gpus}")

    def told_finished(self, server: Server, job_id: int) -> None:
        """Whoever is told that a job ended can read its end in the store."""
        if self.world.store.rows.jobs[job_id].state is None:
            raise Violation(f"{server.name} calls job {job_id} finished, the store does not")

    def order(self, server: Server, worker_id: str, task_id: TaskId) -> None:
        """Of equals, the older task goes first, and the more urgent one before it; and only to who takes new ones."""
        if server.leader is None:
            return
        lease = server.leader.state.leases.get(worker_id)
        if lease is None or lease.closed:
            raise Violation(f"{server.name} gives {task_id} to {worker_id}, which takes nothing new: {lease}")
        self._stays(worker_id, task_id)
        tasks = server.leader.state.tasks
        placed = tasks.get(task_id)
        if placed is None or placed.failed_at:
            return
        for task in tasks:
            if (
                task.attempt is None
                and task.shape == placed.shape
                and task.module == placed.module
                and task.tenant == placed.tenant
                and not (task.settling or task.withheld or task.resting or task.failed_at)
                and (-task.priority, task.order) < (-placed.priority, placed.order)
            ):
                raise Violation(f"{server.name} places {placed} before {task}")

    def _stays(self, worker_id: str, task_id: TaskId) -> None:
        """Who leaves soon takes nothing that may last longer; where nothing kept the leader from knowing it."""
        machine, engine = self.world.machines[worker_id], self.world.engine
        if machine.ends_at is None or task_id.kind == "build" or self.world.ledger.is_disturbed(worker_id, 10.0):
            return
        stays_s, limit_s = machine.ends_at - engine.now, self.world.store.rows.jobs[task_id.id].spec.time_limit_s
        if limit_s > stays_s + 0.5:
            raise Violation(f"{worker_id} leaves in {stays_s:.1f} s, and is given {task_id} with {limit_s} s")

    # ---- at the end

    def finished(self) -> None:
        """Everything ended, as it had to."""
        rows = self.world.store.rows
        for row in rows.jobs.values():
            if row.state is None:
                raise Violation(f"job {row.id} never ended")
            results = [
                rows.results[task]
                for index in range(row.task_count)
                if (task := TaskId("run", row.id, index)) in rows.results
            ]
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
        if OutcomeKind.CANCELLED in kinds:
            right = JobState.CANCELLED
        elif all(result.outcome.succeeded for result in results):
            right = JobState.SUCCEEDED
        else:
            right = JobState.FAILED
        if row.state is not right:
            raise Violation(f"job {row.id} is called {row.state}, its tasks make it {right}: {sorted(kinds)}")

    def _possible(self, row: JobRow, result: TaskResult) -> None:
        """Whether the guest could end like this at all."""
        guest, spec = self.world.guests[row.id], row.spec
        message = result.outcome.message or ""
        match result.outcome.kind:
            case OutcomeKind.EXITED:
                fails = guest.does == "fails" or (guest.does == "odd ones fail" and result.index % 2 == 1)
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
                right = row.cancel_requested
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
