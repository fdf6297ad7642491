"""One call of `Provision.install`: each component once, side by side, and one bar over all of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Self

from wasmgrid.build.toolchains.language import Component
from wasmgrid.core.errors import WasmgridError

Progress = Callable[[str, int, int], None]  # (what happens now, done, total): a bar of `total` units
Told = Callable[[str, float], None]  # (what happens now, the part that is done)
Install = Callable[[Component, Callable[[str], Path], Told], Path]


def closure(components: Sequence[Component]) -> list[Component]:
    """`components` and all that they need, each once, needs first."""
    found: dict[str, Component] = {}
    for component in components:
        for each in [*closure(component.needs), component]:
            found.setdefault(each.name, each)
    return list(found.values())


class InstallRun:
    """`install` installs one component unless it is there, and gives its directory."""

    def __init__(self, install: Install, progress: Progress | None) -> None:
        self._install_one = install
        self._progress = progress
        self._pool = ThreadPoolExecutor(max_workers=16, thread_name_prefix="install")
        self._futures: dict[str, Future[Path]] = {}
        self._components: dict[str, Component] = {}
        self._done: dict[str, float] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def start(self, components: Sequence[Component]) -> list[Future[Path]]:
        """Start what is not under way, needs first; the futures of `components`."""
        with self._lock:
            for each in closure(components):
                if each.name not in self._futures:
                    self._components[each.name] = each
                    self._futures[each.name] = self._pool.submit(self._install, each)
            return [self._futures[each.name] for each in components]

    def failure(self, components: Sequence[Component]) -> WasmgridError | None:
        """Wait for `components` (started where they were not); why one of them cannot be had, or None."""
        try:
            for future in self.start(components):
                future.result()
        except WasmgridError as error:
            return error
        return None

    def _install(self, component: Component) -> Path:
        path = self._install_one(component, self._tool, lambda text, done: self._told(component, text, done))
        for need in component.needs:  # a component is of no use without them
            self._tool(need.name)
        self._told(component, f"{component.name}: ready", 1.0)
        return path

    def _tool(self, name: str) -> Path:
        return self._futures[name].result()

    def _told(self, component: Component, text: str, fraction: float) -> None:
        if self._progress is None:
            return
        with self._lock:
            self._done[component.name] = fraction * component.install_s
            total = sum(each.install_s for each in self._components.values())
            self._progress(text, round(sum(self._done.values())), total)
