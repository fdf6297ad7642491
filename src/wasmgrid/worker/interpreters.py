"""Where a worker has its interpreters from: the toolchains of this machine, else the store.

An installed toolchain has the machine code, too. A runtime trusts what it loads, so that is taken only where nobody but
this user (or root) can write, all the way up; what is copied into the worker's own cache gets a tag like the rest.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

from wasmgrid.build.toolchains.interpreters import Installed
from wasmgrid.core.errors import DigestMismatch, ModuleNotFound, NotFound
from wasmgrid.core.interpreters import INTERPRETERS
from wasmgrid.core.limits import Ceiling
from wasmgrid.worker.courier import Courier

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class Interpreters:
    """`find` says where this machine's toolchains have an interpreter, by its digest."""

    def __init__(self, find: Callable[[str], Installed], courier: Courier) -> None:
        self._find = find
        self._courier = courier

    def code(self, sha256: str) -> Path | None:
        """Machine code that can be trusted, for the runtime that this worker has; None where there is none."""
        code = self._find(sha256).code if sha256 in INTERPRETERS else None
        return code if code is not None and _is_ours(code) else None

    async def fetch(self, sha256: str, dest: Path) -> None:
        """Bring the module to `dest`. Raises `ModuleNotFound` where it is neither here nor in the store."""
        module = self._find(sha256).module
        if module is not None:
            await asyncio.to_thread(shutil.copyfile, module, dest)
            return
        try:
            await self._courier.fetch(sha256, dest, max_bytes=Ceiling().module_bytes)
        except (NotFound, DigestMismatch) as error:
            name = INTERPRETERS[sha256].name
            raise ModuleNotFound(
                f"the interpreter {name} is neither on this worker nor in the store; install its toolchain there, "
                "or run a program of that language from its source"
            ) from error

    async def upload(self, sha256: str) -> None:
        """Give the module to the store, for workers that have no such toolchain, unless it is there."""
        module = self._find(sha256).module
        if module is not None and not await self._courier.is_there(sha256):
            await self._courier.upload(module)


def _is_ours(path: Path) -> bool:
    """Whether nobody but this user and root could have put it there, or a directory above it."""
    if not stat.S_ISREG(path.lstat().st_mode):
        return False
    for each in (path, *path.absolute().parents):
        status = each.stat()
        shared = status.st_mode & _OTHERS_WRITE and not (each != path and status.st_mode & stat.S_ISVTX)
        if status.st_uid not in {0, os.geteuid()} or shared:
            return False
    return True
