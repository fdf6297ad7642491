"""The home directory of a grid: where everything lives, who holds it, and how clients find its server.

Standard library and `core.errors` only, so that a command that just asks for a status starts fast.

    lock             flock held by the running server      token            0600, the API token
    endpoint.json    where the server listens              fabric.json      0600, where NATS listens, with credential
    store/ nats/ logs/ worker/<worker id>/                 tls/             the grid's own CA, this server's certificate
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import stat
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from wasmgrid.core.errors import HomeInUse, InvalidField, NotFound, Unavailable

HOME_VARIABLE = "WASMGRID_HOME"
TOKEN_BYTES = 32


@dataclass(frozen=True, kw_only=True)
class ServerEndpoint:
    """A running server: its API's base URL, its process, when it became ready (seconds since 1970)."""

    url: str
    pid: int
    started_at: float


@dataclass(frozen=True, kw_only=True)
class FabricEndpoint:
    """Where the fabric is. `url` may name several servers, comma-separated; it never holds the credential.

    The credential is `user` and `password`, or the nkey `seed`. With `ca` (PEM text) the servers must have TLS and
    certificates of this authority; with `tls://` in `url` and no `ca`, of those that the machine trusts.
    `embedded`: this home's own nats-server, whose port and credential are kept over restarts.
    """

    url: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    embedded: bool = False
    seed: str | None = field(default=None, repr=False)
    ca: str | None = field(default=None, repr=False)

    @property
    def servers(self) -> list[str]:
        """Each server's URL."""
        return [part.strip() for part in self.url.split(",")]

    @classmethod
    def parse(cls, url: str) -> FabricEndpoint:
        """`nats://[USER:PASSWORD@]HOST:PORT[,...]` with the credential taken out of the URL; `InvalidField` else."""
        user, password = None, None
        servers = []
        for part in url.split(","):
            full = part.strip() if "://" in part else f"nats://{part.strip()}"
            parsed = urlsplit(full)
            if parsed.scheme not in {"nats", "tls"} or not parsed.hostname:
                raise InvalidField(
                    "a fabric's address is nats://HOST:PORT or tls://HOST:PORT, several comma-separated", field="nats"
                )
            if parsed.username is not None:
                user, password = unquote(parsed.username), unquote(parsed.password or "")
            servers.append(f"{parsed.scheme}://{parsed.netloc.rpartition('@')[2]}")
        return cls(url=",".join(servers), user=user, password=password)


@dataclass(frozen=True)
class Home:
    """Paths under one home directory. Making one touches nothing; `create` does."""

    path: Path

    @classmethod
    def default(cls) -> Home:
        """$WASMGRID_HOME, or ~/.local/share/wasmgrid."""
        named = os.environ.get(HOME_VARIABLE)
        return cls(Path(named).expanduser().absolute() if named else Path.home() / ".local/share/wasmgrid")

    @property
    def store(self) -> Path:
        return self.path / "store"

    @property
    def nats(self) -> Path:
        return self.path / "nats"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def tls(self) -> Path:
        return self.path / "tls"

    @property
    def token_file(self) -> Path:
        return self.path / "token"

    @property
    def endpoint_file(self) -> Path:
        return self.path / "endpoint.json"

    @property
    def fabric_file(self) -> Path:
        return self.path / "fabric.json"

    @property
    def lock_file(self) -> Path:
        return self.path / "lock"

    def worker(self, worker_id: str) -> Path:
        """A worker's own directory; `worker_id` has been through `core.worker.check_id`."""
        return self.path / "worker" / worker_id

    def create(self) -> Home:
        """Make the directory (0700). Raises `Unavailable` where it cannot be made or others could write into it."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = self.path.stat()
            for directory in (self.store, self.nats, self.logs, self.tls, self.path / "worker"):
                directory.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise Unavailable(
                f"the home {self.path} cannot be made: {error.strerror}", hint=f"set ${HOME_VARIABLE} to another place"
            ) from error
        if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise Unavailable(
                f"others may write into the home {self.path}; it holds secrets and programs",
                hint=f"chmod 700 {self.path}, or set ${HOME_VARIABLE} to a directory of your own",
            )
        return self

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the home; raises `HomeInUse` where another process does. The lock dies with the process."""
        descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
                raise HomeInUse(
                    f"a server (pid {holder or 'unknown'}) runs in {self.path}",
                    hint=f"use it, stop it with `wasmgrid down`, or set ${HOME_VARIABLE} to another directory",
                ) from None
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(descriptor)

    def ensure_token(self) -> str:
        """The API token, made where there is none yet; of several processes that race, all get the same one."""
        if not self.token_file.exists():
            _write_new(self.token_file, secrets.token_urlsafe(TOKEN_BYTES) + "\n")
        self.token_file.chmod(0o600)
        return self.token()

    def token(self) -> str:
        """The API token; raises `NotFound` where this home has none, or an empty one."""
        try:
            token = self.token_file.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            raise NotFound(f"no token in {self.path}", hint="start a grid: wasmgrid up") from None
        except (OSError, UnicodeDecodeError) as error:
            raise Unavailable(f"the token in {self.token_file} cannot be read: {error}") from error
        if not token:
            raise NotFound(f"{self.token_file} is empty", hint=f"remove it and start again: rm {self.token_file}")
        return token

    def write_endpoint(self, url: str) -> ServerEndpoint:
        """Say where this process's server listens."""
        endpoint = ServerEndpoint(url=url, pid=os.getpid(), started_at=time.time())
        write_atomically(self.endpoint_file, json.dumps(asdict(endpoint)) + "\n", mode=0o600)
        return endpoint

    def remove_endpoint(self) -> None:
        """Take back what `write_endpoint` said, unless a later server has already said something else."""
        written = _read_json(self.endpoint_file)
        if written is not None and written.get("pid") == os.getpid():
            self.endpoint_file.unlink(missing_ok=True)

    def endpoint(self) -> ServerEndpoint | None:
        """The server that runs here, or None: nothing written, or its process is gone."""
        written = _read_json(self.endpoint_file) or {}
        match written:
            case {"url": str(url), "pid": int(pid), "started_at": float() | int() as started_at} if _alive(pid):
                return ServerEndpoint(url=url, pid=pid, started_at=float(started_at))
        return None

    def write_fabric(self, endpoint: FabricEndpoint) -> None:
        """Say where the fabric is, to this home's workers and to the next start."""
        write_atomically(self.fabric_file, json.dumps(asdict(endpoint)) + "\n", mode=0o600)

    def fabric(self) -> FabricEndpoint | None:
        """What `write_fabric` said last, or None."""
        written = _read_json(self.fabric_file) or {}
        texts = {name: written.get(name) for name in ("user", "password", "seed", "ca")}
        match written:
            case {"url": str(url), "user": _, "password": _} if all(isinstance(t, str | None) for t in texts.values()):
                return FabricEndpoint(url=url, embedded=written.get("embedded") is True, **texts)
        return None


def write_atomically(path: Path, text: str, *, mode: int) -> None:
    """Replace `path` as a whole, with `mode` from the first byte on: a reader sees the old text or the new."""
    temporary = _temporary(path, text, mode)
    try:
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _write_new(path: Path, text: str) -> None:
    """Make `path` (0600) with this text in one step, unless another process was first."""
    temporary = _temporary(path, text, 0o600)
    try:
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink()


def _temporary(path: Path, text: str, mode: int) -> Path:
    """A file beside `path` with this text on disk."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _read_json(path: Path) -> dict[str, Any] | None:
    """The object in `path`; None where there is no file, or something else is in it."""
    try:
        written = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return written if isinstance(written, dict) else None


def _alive(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
