"""`/metrics`, for Prometheus: what this server counts, and what it knows of the grid while it leads.

Every server is scraped; what only the leader knows is told by the leader alone, so that sums are right. No label names
a job, a tenant or a worker.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from litestar import get
from litestar.response import Response

from wasmgrid import __version__
from wasmgrid.control import glance, histogram
from wasmgrid.control.leading import Leading
from wasmgrid.control.meter import Durations, Meter
from wasmgrid.core.lifecycle import JobState
from wasmgrid.core.limits import MB
from wasmgrid.server.openapi import problems
from wasmgrid.server.service import Service, Svc

if TYPE_CHECKING:  # half a second of imports that a server without Prometheus never needs
    from prometheus_client.core import Metric

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_EVERY = 4  # edges of the finer histograms from one bucket to the next: they double

_COUNTERS = {
    "placements": ("placements", "Tasks and builds that were given to a worker"),
    "results": ("results", "Results that were taken from workers"),
    "stale_results": ("stale_results", "Results of superseded attempts, refused"),
    "leases_lost": ("leases_lost", "Workers that were silent for a whole lease"),
    "adopted": ("adopted", "Attempts of an earlier leader that were taken over from the workers that held them"),
    "requeued": ("requeued", "Tasks that wait again because their worker was lost or left"),
    "retries": ("retries", "Attempts that users' retries gave"),
    "crashes": ("crashed_attempts", "Attempts that ended with their runner or agent"),
    "refused": ("assignments_refused", "Assignments that a worker did not take"),
    "quarantined": ("workers_quarantined", "Workers that were quarantined"),
}


@get("/metrics", media_type=MEDIA_TYPE, summary="Metrics for Prometheus", tags=["health"], responses=problems())
async def metrics(service: Svc) -> Response[bytes]:
    """In its text format; documented in docs/operating.md."""
    from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, generate_latest  # noqa: PLC0415
    from prometheus_client.registry import Collector  # noqa: PLC0415

    jobs = await service.overviews.job_counts() if service.control.leading is not None else {}

    class _Now(Collector):
        def collect(self) -> Iterable[Metric]:
            return families(service, jobs)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Now())
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return Response(generate_latest(registry), media_type=MEDIA_TYPE)


def families(service: Service, jobs: Mapping[JobState, int]) -> list[Metric]:
    """Everything, as it is now. `jobs` by the state that is kept of them."""
    leading = service.control.leading
    leads = leading is not None and leading.sure
    free = shutil.disk_usage(service.home).free
    found = [
        _gauge("build_info", "The version that runs, as a label", {(__version__,): 1}, "version"),
        _gauge("leader", "Whether this server leads", {(): int(leads)}),
        _gauge("home_free_bytes", "Free on the disk of this server's home", {(): free}),
        _gauge("http_streams", "Event streams that are open", {(): service.streams.open}),
        _counter("http_requests", "Requests by route and status", _requests(service), "method", "route", "status"),
        *_metered(service.control.meter, leading),
    ]
    if leading is not None and leads:
        found += _known(leading, jobs)
    return found


def _requests(service: Service) -> dict[tuple[str, ...], float]:
    return {(method, route, str(status)): times for (method, route, status), times in service.answered.items()}


def _metered(meter: Meter, leading: Leading | None) -> list[Metric]:
    """What this server counted in all its terms."""
    builds: dict[tuple[str, ...], float] = {("hit",): meter.build_hits, ("miss",): meter.builds - meter.build_hits}
    counted = meter.counted(leading.state.counters if leading is not None else None)
    return [
        _counter("takeovers", "Terms that this server led", {(): meter.terms}),
        _counter("tasks", "Tasks that ended, by outcome (succeeded: exited with 0)", _by(meter.outcomes), "outcome"),
        _counter("jobs_ended", "Jobs that ended, by state", _by({str(k): n for k, n in meter.jobs.items()}), "state"),
        _counter("builds", "Jobs with a source by whether it had been built before", builds, "cache"),
        _histogram("task_run_seconds", "How long tasks ran", meter.wall),
        _histogram("task_queue_seconds", "How long tasks waited for a worker", meter.queue),
        *(_counter(name, text, {(): counted[of]}) for of, (name, text) in _COUNTERS.items()),
    ]


def _known(leading: Leading, jobs: Mapping[JobState, int]) -> list[Metric]:
    """What a leader's memory and the store say."""
    seen = leading.overview(0)
    states: dict[tuple[str, ...], float] = {
        (str(state),): jobs.get(state, 0) for state in JobState if state is not JobState.RUNNING
    }
    running = len(glance.running_jobs(leading.state))
    states["running",] = running
    states["queued",] = max(0, states["queued",] - running)
    workers = ("joined", "draining", "cordoned", "quarantined", "unheard")
    has = seen.workers
    return [
        _gauge("term", "The number of the term that is led", {(): leading.term}),
        _gauge("jobs", "Jobs by state", states, "state"),
        _gauge("queue_tasks", "Tasks and builds that wait for a worker", {(): seen.queue.tasks}),
        _gauge("queue_oldest_seconds", "For how long the first of them waits", {(): seen.queue.oldest_s or 0.0}),
        _gauge("running_tasks", "Tasks and builds that workers hold", {(): has.running_tasks}),
        _gauge("workers", "Workers by state", {(state,): getattr(has, state) for state in workers}, "state"),
        _gauge("cpus", "Cpus of all workers", {(): has.cpus.total}),
        _gauge("cpus_used", "Cpus that tasks take", {(): has.cpus.used}),
        _gauge("memory_bytes", "Memory of all workers", {(): has.memory_mb.total * MB}),
        _gauge("memory_used_bytes", "Memory that tasks take", {(): has.memory_mb.used * MB}),
        _gauge("gpus", "GPUs of all workers", {(): has.gpus.total}),
        _gauge("gpus_used", "GPUs that tasks take", {(): has.gpus.used}),
    ]


def _by(counts: Mapping[str, int]) -> dict[tuple[str, ...], float]:
    return {(name,): count for name, count in counts.items()}


def _gauge(name: str, text: str, values: Mapping[tuple[str, ...], float], *labels: str) -> Metric:
    from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415

    family = GaugeMetricFamily(f"wasmgrid_{name}", text, labels=labels)
    for given, value in values.items():
        family.add_metric(given, value)
    return family


def _counter(name: str, text: str, values: Mapping[tuple[str, ...], float], *labels: str) -> Metric:
    from prometheus_client.core import CounterMetricFamily  # noqa: PLC0415

    family = CounterMetricFamily(f"wasmgrid_{name}", text, labels=labels)
    for given, value in values.items():
        family.add_metric(given, value)
    return family


def _histogram(name: str, text: str, durations: Durations) -> Metric:
    from prometheus_client.core import HistogramMetricFamily  # noqa: PLC0415

    counts, below, buckets = durations.so_far(), 0, []
    for at, edge in enumerate(histogram.EDGES_MS):
        below += counts[at]
        if at % _EVERY == 0:
            buckets.append((f"{edge / 1000:g}", float(below)))
    buckets.append(("+Inf", float(sum(counts))))
    family = HistogramMetricFamily(f"wasmgrid_{name}", text)
    family.add_metric([], buckets, durations.sum_ms / 1000)
    return family
