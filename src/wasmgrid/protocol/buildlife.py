"""A build's way through the leader: which toolchain, a task for it, and what its end means for the jobs that wait."""

from __future__ import annotations

from wasmgrid.core.job import BuildResult, TaskId
from wasmgrid.core.outcome import Outcome, OutcomeKind
from wasmgrid.core.wire import Cancel, Held
from wasmgrid.core.worker import Toolchain
from wasmgrid.protocol import attempts, joblife
from wasmgrid.protocol.builds import Build, choose_toolchain, key_of
from wasmgrid.protocol.chunks import Chunk
from wasmgrid.protocol.events import AssignModule, BuildOpened, EndedAttempt, FinishBuild, OpenBuild, Record
from wasmgrid.protocol.fencing import term_of
from wasmgrid.protocol.jobs import Job
from wasmgrid.protocol.state import Ack, State
from wasmgrid.protocol.takeover import ASKING
from wasmgrid.scheduling.events import Adopted, Ended, Enqueued, Withdrawn
from wasmgrid.scheduling.shape import build_shape

NOBODY_WAITS = "nobody waits for it"


def resolve(state: State, job: Job) -> None:
    """Find the module of a job's source: known, being built, or to be built; or say why it cannot be yet."""
    source = job.spec.source
    if source is None:
        _refuse(state, [job.id], Outcome(kind=OutcomeKind.REJECTED, message="the job has neither source nor module"))
        return
    if not state.takeover.settled and (job.old or source.sha256 in state.builds.asked_after):
        # Somebody may build it; and among fewer workers another toolchain might be chosen than was before.
        state.builds.asked_after.add(source.sha256)
        state.builds.unresolved[job.id] = None
        job.reason = ASKING
        return
    infos = state.scheduler.pool.infos()
    toolchain = choose_toolchain(source.language, infos)
    if toolchain is None:
        state.builds.unresolved[job.id] = None
        job.reason = _no_builder(source.language, joined=bool(infos))
        return
    if not toolchain.ready and not job.spec.install:
        _refuse(state, [job.id], _not_installed(toolchain))
        return
    key = key_of(source, toolchain.identity)
    known = state.builds.known(key)
    if known is not None:
        _use(state, [job.id], known[0], known[1], cached=True, build_ms=0.0)
        return
    job.reason = f"waiting for a {source.language} build"
    if state.builds.join(job.id, key, source, toolchain.identity, install=job.spec.install):
        state.commands.append(OpenBuild(build_key=key, source=source, toolchain=toolchain.identity))


def resolve_waiting(state: State) -> None:
    """A worker came, or has other toolchains now: perhaps what some jobs wait for, or no more what a build needs."""
    offered = {toolchain.identity for info in state.scheduler.pool.infos() for toolchain in info.toolchains}
    for build in state.builds.under_way():
        waits = build.asked is not None and not build.withheld and not state.chunks.of("build", build.asked.task.id)
        if build.asked is None or not waits or build.toolchain in offered:
            continue
        state.schedule(Withdrawn(build.asked.task))
        state.builds.unresolved.update(dict.fromkeys(state.builds.close(build)))
    for job_id in list(state.builds.unresolved):
        del state.builds.unresolved[job_id]
        resolve(state, state.jobs[job_id])


def opened(state: State, event: BuildOpened) -> None:
    """The store answered: the module is there, the source is known not to build, or somebody must build it."""
    build = state.builds.opened(event.build_key, event.build_id)
    if build is None:
        return
    if event.state == "done" and event.module_sha256:
        state.builds.learn(build.key, event.module_sha256, event.build_id)
        jobs = state.builds.close(build)
        _use(state, jobs, event.module_sha256, event.build_id, cached=True, build_ms=0.0)
    elif event.state == "failed":
        outcome = Outcome(kind=OutcomeKind.BUILD_FAILED, message=event.message)
        _refuse(state, state.builds.close(build), outcome, build_id=event.build_id, cached=True)
    else:
        _queue(state, build)
    drop_unclaimed(state)


def set_aside(state: State, worker_id: str, held: Held) -> None:
    """A worker holds a build whose row is still being opened: what it takes stays taken until that is known.

    Of two workers that do, the one with the higher attempt counts.
    """
    task_id = TaskId("build", held.id)
    other_id, other = state.unclaimed.get(task_id, (worker_id, held))
    if other.attempt > held.attempt:
        if held.phase != "finished":
            state.send(worker_id, Cancel(term=state.term, attempt=held.attempt, reason="superseded"))
        return
    if other.attempt < held.attempt and other.phase != "finished":
        state.send(other_id, Cancel(term=state.term, attempt=other.attempt, reason="superseded"))
    state.unclaimed[task_id] = (worker_id, held)
    if held.phase == "finished":
        state.schedule(Ended(task_id))
    else:
        state.schedule(Adopted(task_id, worker_id, build_shape("")))


def forget_unclaimed(state: State, worker_id: str) -> None:
    """The worker is gone, with what it held."""
    state.unclaimed = {task: claim for task, claim in state.unclaimed.items() if claim[0] != worker_id}


def drop_unclaimed(state: State) -> None:
    """Builds that workers hold from before, and nobody wants: known once every build that is wanted has its row."""
    if not state.takeover.settled or any(build.id is None for build in state.builds.under_way()):
        return
    for task_id, (worker_id, held) in state.unclaimed.items():
        state.schedule(Ended(task_id))
        state.send(worker_id, Cancel(term=state.term, attempt=held.attempt, reason=NOBODY_WAITS))
    state.unclaimed.clear()


def claim(state: State, worker_id: str, held: Held) -> None:
    """A worker says that it holds an attempt at a build of which others, or none, are known: the highest one counts."""
    build, chunks = state.builds.by_id(held.id), state.chunks.of("build", held.id)
    latest = max([chunk.attempt for chunk in chunks], default=0)
    latest = max(latest, build.history.latest if build is not None else 0)
    is_over = held.phase in {"finished", "died"}
    if term_of(held.attempt) >= state.term or held.attempt <= latest or any(not chunk.left for chunk in chunks):
        if not is_over:
            state.send(worker_id, Cancel(term=state.term, attempt=held.attempt, reason="superseded"))
        return
    for chunk in chunks:
        state.send(chunk.worker_id, Cancel(term=state.term, attempt=chunk.attempt, reason="superseded"))
        requeue(state, chunk, "a later attempt is alive")
    build = state.builds.by_id(held.id)
    if build is None:
        if not is_over:
            state.send(worker_id, Cancel(term=state.term, attempt=held.attempt, reason="superseded"))
        return
    if held.phase == "died":
        chunk = attempts.lost(state, TaskId("build", held.id), worker_id, held, build_shape(build.toolchain))
        requeue(state, chunk, "the worker died while it ran", crashed=True)
    elif attempts.adopt_build(state, held.id, build_shape(build.toolchain), worker_id, held):
        state.schedule(Withdrawn(TaskId("build", held.id)))
        build.withheld = False


def requeue(state: State, chunk: Chunk, reason: str, *, crashed: bool = False, answer: bool = False) -> None:
    """The attempt ended without ending the build: it waits again, or is lost at the crash limit.

    `answer`: its worker told so with a result, and keeps it until that is acknowledged.
    """
    attempts.take_back(state, chunk, set(chunk.left))
    task = TaskId("build", chunk.id)
    ended_so = EndedAttempt(task=task, attempt=chunk.attempt, worker_id=chunk.worker_id, reason=reason, crashed=crashed)
    acks = [Ack(chunk.worker_id, chunk.attempt)] if answer else []
    state.unanswered.update((ack.attempt, 0) for ack in acks)
    state.counters.requeued += 1
    state.counters.crashes += crashed
    build = state.builds.by_id(chunk.id)
    if build is None:  # nobody waits for it any more
        state.write(Record(ended=[ended_so]), acks=acks)
        return
    history = build.history
    history.crashes += crashed
    history.latest = max(history.latest, chunk.attempt)
    if history.crashes >= state.settings.crash_limit:
        message = f"lost after {history.crashes} attempts: {reason}"
        fail(state, build, Outcome(kind=OutcomeKind.LOST, message=message), attempt=chunk.attempt, acks=acks)
        return
    state.write(Record(ended=[ended_so]), acks=acks)
    build.withheld |= term_of(chunk.attempt) < state.term and not state.takeover.settled
    enqueue(state, build)
    resolve_waiting(state)


def release_withheld(state: State) -> None:
    """Nobody can hold an unreported attempt from before any more."""
    state.builds.asked_after.clear()
    for build in state.builds.under_way():
        if build.withheld:
            build.withheld = False
            enqueue(state, build)


def enqueue(state: State, build: Build) -> None:
    """It waits for a worker, unless one has it, or may still hold it from before the take-over."""
    if build.asked is not None and not build.withheld and not state.chunks.of("build", build.asked.task.id):
        state.schedule(build.asked)


def ended(state: State, chunk: Chunk, result: BuildResult) -> None:
    """A worker built it, or says why not."""
    chunk.left.clear()
    chunk.settling.add(0)
    attempts.free_room(state, chunk)
    build = state.builds.by_id(result.build_id)
    jobs = state.builds.close(build) if build is not None else []

    def look_again(_now: float) -> None:
        """Whoever came while this was being written was told that the build is under way still."""
        later = state.builds.by_id(result.build_id)
        if later is not None:
            state.commands.append(OpenBuild(build_key=later.key, source=later.source, toolchain=later.toolchain))

    acks = [Ack(result.worker_id, result.attempt)]
    state.write(FinishBuild(result=result), acks=acks, settled=[(chunk, [0])], then=look_again)
    if result.outcome.succeeded and result.module_sha256:
        if build is not None:
            state.builds.learn(build.key, result.module_sha256, result.build_id)
        _use(state, jobs, result.module_sha256, result.build_id, cached=False, build_ms=result.build_ms)
    else:
        _refuse(state, jobs, result.outcome, build_id=result.build_id, build_ms=result.build_ms, cached=False)


def fail(state: State, build: Build, outcome: Outcome, *, attempt: int, acks: list[Ack]) -> None:
    """No worker brought the build to an end."""
    build_id = build.id or 0
    result = BuildResult(build_id=build_id, attempt=attempt, worker_id="", outcome=outcome)
    state.write(FinishBuild(result=result), acks=acks)
    _refuse(state, state.builds.close(build), outcome, build_id=build_id)


def abandon(state: State, job: Job) -> None:
    """The job no longer wants its build; one that nobody wants is stopped."""
    build = state.builds.leave(job.id)
    if build is None:
        return
    state.builds.close(build)
    drop_unclaimed(state)  # it may have been the last whose row was still being opened
    if build.asked is None:
        return
    state.schedule(Withdrawn(build.asked.task))
    for chunk in state.chunks.of("build", build.asked.task.id):
        if chunk.left:
            state.send(chunk.worker_id, Cancel(term=state.term, attempt=chunk.attempt, reason=NOBODY_WAITS))


def show_progress(state: State, chunk: Chunk) -> None:
    """What a build is busy with becomes the reason that its jobs show."""
    build = state.builds.by_id(chunk.id)
    if build is None:
        return
    doing = chunk.detail or f"{chunk.phase} {build.source.language}"
    for job_id in build.waiting:
        state.jobs[job_id].reason = f"{doing} on {chunk.worker_id}"
        state.changed(job_id)


def _queue(state: State, build: Build) -> None:
    jobs = [state.jobs[job_id] for job_id in build.waiting]
    if build.id is None or build.asked is not None or not jobs:
        return
    task = TaskId("build", build.id)
    build.asked = Enqueued(
        task,
        build_shape(build.toolchain),
        max(job.spec.priority for job in jobs),
        min(job.id for job in jobs),
        tenant=jobs[0].tenant,
    )
    worker_id, held = state.unclaimed.pop(task, ("", None))
    if held is not None:
        state.schedule(Ended(task))
        attempts.adopt_build(state, build.id, build.asked.shape, worker_id, held)
    enqueue(state, build)


def _use(state: State, job_ids: list[int], module_sha256: str, build_id: int, *, cached: bool, build_ms: float) -> None:
    """The jobs run this module, from when that is written: a new leader must know what their tasks are."""
    if not job_ids:
        return

    def use(now: float) -> None:
        for job_id in job_ids:
            job = state.jobs.get(job_id)
            if job is not None and not job.finished:
                joblife.module_known(state, job, module_sha256, build_ms=build_ms, now=now)

    body = AssignModule(job_ids=list(job_ids), module_sha256=module_sha256, build_id=build_id, cached=cached)
    state.write(body, then=use)


def _refuse(
    state: State,
    job_ids: list[int],
    outcome: Outcome,
    *,
    build_id: int | None = None,
    build_ms: float | None = None,
    cached: bool | None = None,
) -> None:
    for job_id in job_ids:
        job = state.jobs[job_id]
        job.build_ms, job.build_id, job.build_cached = build_ms, build_id, cached
        joblife.end_unbuilt(state, job, outcome)


def _no_builder(language: str, *, joined: bool) -> str:
    if not joined:
        return "no worker has joined this grid; start one: wasmgrid worker"
    return f"no worker here can build {language}; see what it lacks: wasmgrid toolchain list"


def _not_installed(toolchain: Toolchain) -> Outcome:
    language = toolchain.language
    message = (
        f"the {language} toolchain is not installed (about {toolchain.download_mb} MB, {toolchain.install_s} s) "
        f"and --no-install was given; install it: wasmgrid toolchain install {language}"
    )
    return Outcome(kind=OutcomeKind.REJECTED, message=message)
