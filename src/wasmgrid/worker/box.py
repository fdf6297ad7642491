"""The directory that an agent shares with one runner, and what the agent puts into it.

Its layout is told in `runner.frames`. All that the runner must not change belongs to the agent; where the agent is root
the runner is another user, and elsewhere the same tree is mounted read-only for it.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path

from wasmgrid.runner import cell
from wasmgrid.runner.frames import INPUTS, IO, MODULES, SCRATCH, SPILL, STDERR, STDOUT
from wasmgrid.worker.bundles import PreparedBundle
from wasmgrid.worker.task import PreparedModule
from wasmgrid.worker.trees import link, link_tree, remove_tree

_KEPT_MODULES = 32  # more than a runner keeps loaded; a linked file cannot be evicted from the module cache
_USER_BASE, _USERS_PER_AGENT = 1_900_000_000, 4096
_NOBODY = 65534
_MAPS = ("/proc/self/uid_map", "/proc/self/gid_map")


def runner_user(number: int) -> int | None:
    """The uid (and gid) of this agent's runner `number`: one that nobody has.

    None where the agent is not root, and cannot become another user, or where its user namespace has no other.
    """
    if os.geteuid() != 0:
        return None
    wanted = _USER_BASE + (os.getpid() & 0xFFFF) * _USERS_PER_AGENT + number % _USERS_PER_AGENT
    return next((user for user in (wanted, _NOBODY) if all(_is_mapped(path, user) for path in _MAPS)), None)


def _is_mapped(path: str, number: int) -> bool:
    try:
        ranges = [[int(part) for part in line.split()] for line in Path(path).read_text().splitlines()]
    except OSError:
        return False
    return any(first <= number < first + count for first, _, count in ranges)


class Box:
    """One runner's directory. Making it makes the directory; `remove` takes it away with all that is in it."""

    def __init__(self, path: Path, *, user: int | None) -> None:
        self.path = path
        self._modules: OrderedDict[str, None] = OrderedDict()
        path.mkdir(parents=True, mode=0o711)
        path.chmod(0o711)
        for name, mode in ((MODULES, 0o755), (INPUTS, 0o755), ("root", 0o755), (IO, 0o700), (SCRATCH, 0o700)):
            (path / name).mkdir()
            (path / name).chmod(mode)
        for pipe in (STDOUT, STDERR):
            os.mkfifo(path / pipe, 0o600)
        (path / cell.NAME).write_bytes(bytes(cell.SIZE))
        if user is not None:
            for name in (IO, SCRATCH, STDOUT, STDERR, cell.NAME):
                os.chown(path / name, user, user)

    def add_module(self, module: PreparedModule) -> str:
        """Link a precompiled file in, if it is not there yet; answers its name under box/modules. Raises OSError."""
        name = module.path.name
        if name in self._modules:
            self._modules.move_to_end(name)
            return name
        link(module.path, self.path / MODULES / name)
        self._added(name)
        return name

    def add_bundle(self, bundle: PreparedBundle) -> str:
        """The same for a bundle's files: the name of their directory."""
        name = bundle.sha256
        if name in self._modules:
            self._modules.move_to_end(name)
            return name
        link_tree(bundle.directory, self.path / MODULES / name)
        self._added(name)
        return name

    def _added(self, name: str) -> None:
        self._modules[name] = None
        if len(self._modules) > _KEPT_MODULES:
            oldest, _ = self._modules.popitem(last=False)
            remove_tree(self.path / MODULES / oldest)

    def spilled(self, stream: str) -> Path:
        """The file of a running task's `stream` (stdout, stderr); `running` tells whether it is that one's."""
        return self.path / IO / f"{stream}{SPILL}"

    def running(self, attempt: int) -> cell.Running | None:
        """What the runner says of the task of this attempt that runs now; None where none does."""
        return cell.read(self.path, attempt)

    def clear_inputs(self) -> None:
        """Remove what `inputs.lay_out` put in. Blocking."""
        for entry in (self.path / INPUTS).iterdir():
            remove_tree(entry)

    def remove(self) -> None:
        """Remove the directory. Blocking; the runner must be gone."""
        remove_tree(self.path)
