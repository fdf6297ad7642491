"""Machine code on a worker's disk, and what vouches for it.

A runtime trusts the machine code that it loads, so only files that were put here by this worker ever reach a runner:
each has a tag, made with a key that never leaves the (private) directory, over its name and its content. The name says
which module and runtime it is for.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import math
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

import structlog

_KEY_BYTES = 32
_USED_EVERY_S = 10.0  # how exactly it is known when a file was used last

_Signature = tuple[int, int, int]

log = structlog.get_logger()


@dataclass(slots=True)
class _Verified:
    path: str
    signature: _Signature
    used_at: float = -math.inf


class MachineCode:
    """Files `<name>.cwasm`, each with `<name>.tag` beside it."""

    def __init__(self, directory: Path, key_file: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, mode=0o700, exist_ok=True)
        self._key = _key(key_file)
        self._verified: dict[str, _Verified] = {}

    def path(self, name: str) -> Path:
        """Where the file of this name is, if it is."""
        return self.directory / f"{name}.cwasm"

    def known(self, name: str) -> bool:
        """Whether the file was verified in this life and has not been touched since: a system call, no reading."""
        verified = self._verified.get(name)
        if verified is None:
            return False
        with contextlib.suppress(OSError):
            if verified.signature == _signature(verified.path):
                if (now := time.monotonic()) - verified.used_at > _USED_EVERY_S:
                    verified.used_at = now
                    os.utime(self._tag_path(name))  # what eviction goes by
                return True
        return False

    def verify(self, name: str) -> bool:
        """Whether the file is there and is what was put here; what is not is dropped. Reads all of it."""
        path = self.path(name)
        try:
            before = _signature(path)
            tag = self._tag_path(name).read_text()
            good = hmac.compare_digest(tag, self._tag(name, digest(path))) and before == _signature(path)
        except (OSError, ValueError):
            return False
        if good:
            self._verified[name] = _Verified(os.fspath(path), before)
        else:
            log.warning("precompiled.poisoned", name=name)
            self.drop(name)
        return good

    def put(self, fresh: Path, name: str) -> None:
        """Take in a file that was just compiled. Raises OSError."""
        fresh.chmod(0o444)  # runners, which are other users where that is possible, read it
        write(self._tag_path(name), self._tag(name, digest(fresh)).encode())
        fresh.replace(self.path(name))
        path = os.fspath(self.path(name))
        self._verified[name] = _Verified(path, _signature(path))

    def drop(self, name: str) -> None:
        """Remove a file, if it is there."""
        self._verified.pop(name, None)
        self.path(name).unlink(missing_ok=True)
        self._tag_path(name).unlink(missing_ok=True)

    def entries(self) -> list[tuple[float, int, str]]:
        """When each was used last (seconds since 1970), its size and its name."""
        found = []
        for tag in self.directory.glob("*.tag"):
            with contextlib.suppress(OSError):
                found.append((tag.stat().st_mtime, self.path(tag.stem).stat().st_size, tag.stem))
        return found

    def _tag_path(self, name: str) -> Path:
        return self.directory / f"{name}.tag"

    def _tag(self, name: str, content: str) -> str:
        return hmac.new(self._key, f"{name} {content}".encode(), hashlib.sha256).hexdigest()


def digest(path: Path) -> str:
    """The sha256 of a file. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write(path: Path, data: bytes) -> None:
    """Write a file that appears whole or not at all. Raises OSError."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _key(path: Path) -> bytes:
    with contextlib.suppress(FileNotFoundError):
        if len(key := path.read_bytes()) == _KEY_BYTES:
            return key
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key := secrets.token_bytes(_KEY_BYTES))
    return key


def _signature(path: Path | str) -> _Signature:
    """Changes with every write to the file by an honest program; a runner that was broken out of sees it read-only.

    The change time is left out because every link into a runner's box changes it.
    """
    status = os.lstat(path)
    return status.st_ino, status.st_size, status.st_mtime_ns
