"""Which jobs wait for which build. The same source submitted by many at once is built once."""

from __future__ import annotations

from dataclasses import dataclass, field

from wasmgrid.core.digest import build_key
from wasmgrid.core.job import SourceRef
from wasmgrid.core.worker import Toolchain, WorkerInfo
from wasmgrid.protocol.history import History
from wasmgrid.scheduling.events import Enqueued

REMEMBERED = 10_000  # build keys whose modules are known without asking the store


@dataclass(slots=True)
class Build:
    """A build that some jobs wait for. `id` is None until the store has its row.

    `withheld`: a worker may hold it from before the take-over. `asked` is how it goes to the scheduler once it may.
    """

    key: str
    source: SourceRef
    toolchain: str
    id: int | None = None
    install: bool = False
    waiting: list[int] = field(default_factory=list)
    withheld: bool = False
    asked: Enqueued | None = None
    history: History = field(default_factory=History)


class Builds:
    """Builds under way by key and id, modules known by key, and jobs whose language nobody can build yet.

    `asked_after` are the digests of sources that a worker may be building from before the take-over: until all have
    answered, their jobs are among the `unresolved`.
    """

    def __init__(self) -> None:
        self._by_key: dict[str, Build] = {}
        self._by_id: dict[int, Build] = {}
        self._known: dict[str, tuple[str, int]] = {}
        self.unresolved: dict[int, None] = {}
        self.asked_after: set[str] = set()

    def known(self, key: str) -> tuple[str, int] | None:
        """(module digest, build id) of a build that succeeded before, where this leader knows of it."""
        return self._known.get(key)

    def learn(self, key: str, module_sha256: str, build_id: int) -> None:
        """A build succeeded."""
        self._known[key] = (module_sha256, build_id)
        if len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]

    def forget(self, module_sha256: str) -> None:
        """The store lost this module."""
        self._known = {key: known for key, known in self._known.items() if known[0] != module_sha256}

    def forget_known(self) -> None:
        """The store may have dropped modules."""
        self._known.clear()

    def join(self, job_id: int, key: str, source: SourceRef, toolchain: str, *, install: bool) -> bool:
        """The job waits for this build; True where it is the first, and the store must be asked for the row."""
        build = self._by_key.get(key)
        is_new = build is None
        if build is None:
            build = self._by_key[key] = Build(key=key, source=source, toolchain=toolchain)
        build.waiting.append(job_id)
        build.install |= install
        return is_new

    def of_job(self, job_id: int) -> Build | None:
        """The build that the job waits for."""
        return next((build for build in self._by_key.values() if job_id in build.waiting), None)

    def leave(self, job_id: int) -> Build | None:
        """The job waits no more; the build that now nobody waits for, if there is one."""
        self.unresolved.pop(job_id, None)
        build = self.of_job(job_id)
        if build is None:
            return None
        build.waiting.remove(job_id)
        return None if build.waiting else build

    def opened(self, key: str, build_id: int) -> Build | None:
        """The store has the row; None where nobody waits for it any more."""
        build = self._by_key.get(key)
        if build is not None:
            build.id = build_id
            self._by_id[build_id] = build
        return build

    def by_id(self, build_id: int) -> Build | None:
        """The build under way with this id."""
        return self._by_id.get(build_id)

    def under_way(self) -> list[Build]:
        """Every build that somebody waits for."""
        return list(self._by_key.values())

    def close(self, build: Build) -> list[int]:
        """The build is over; the jobs that waited for it."""
        self._by_key.pop(build.key, None)
        if build.id is not None:
            self._by_id.pop(build.id, None)
        return build.waiting


def choose_toolchain(language: str, workers: list[WorkerInfo]) -> Toolchain | None:
    """The toolchain for `language` among those of the workers: a ready one before one that must be installed first.

    Among equals the most common identity wins, then the alphabet, so that the same source keeps its build key.
    """
    found = [toolchain for info in workers for toolchain in info.toolchains if toolchain.language == language]
    if not found:
        return None
    votes: dict[str, int] = {}
    for toolchain in found:
        votes[toolchain.identity] = votes.get(toolchain.identity, 0) + 1
    return min(found, key=lambda one: (not one.ready, -votes[one.identity], one.identity))


def key_of(source: SourceRef, toolchain: str) -> str:
    """The build key of a kept source under a toolchain."""
    return build_key(
        source_sha256=source.sha256,
        language=source.language,
        entry=source.entry,
        build_flags=source.build_flags,
        toolchain=toolchain,
        function=source.function,
    )
