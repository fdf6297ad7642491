"""The nats-server that a grid brings along: a child, started again when it dies or hangs.

It listens on loopback, for this machine's processes; or on an address for other machines too, with TLS for all.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import structlog

from wasmgrid import leash
from wasmgrid.core.errors import InvalidField, Unavailable, Unreachable
from wasmgrid.fabric import authorization
from wasmgrid.fabric.authorization import User
from wasmgrid.fabric.link import close_link, open_link
from wasmgrid.fabric.natsserver import COMMON, bracketed, find_nats_server, render
from wasmgrid.home import FabricEndpoint, Home, write_atomically

if TYPE_CHECKING:
    from wasmgrid.fabric.certificates import Certificates

OWNER = "wasmgrid"
_LOOPBACK = "127.0.0.1"
_NEAR = {"": _LOOPBACK, "0.0.0.0": _LOOPBACK, "::": "::1"}  # how this machine reaches what listens there  # noqa: S104
_READY_S = 5.0
_STOP_S = 2.0
_PORT_TRIES = 5
_FIRST_RESTART_S, _LAST_RESTART_S = 0.1, 5.0
_CHECK_EVERY_S, _CHECK_WAIT_S, _CHECK_MISSES = 3.0, 2.0, 3  # one that lets nobody in is killed after 15 s at most

log = structlog.get_logger()


class EmbeddedNats:
    """One nats-server under `home`. It ends with this process, whatever ends that.

    `listen` is "HOST:PORT" (port 0: any); without it, loopback without TLS. Port and credential are those of
    `fabric.json` where it has some, so that workers find the next one again; another port only where that one is taken
    and none was asked for. `certificates` default to the home's own, for the host it listens on. `users` are admitted
    beside the home's own credential.
    """

    def __init__(
        self,
        home: Home,
        *,
        listen: str | None = None,
        certificates: Certificates | None = None,
        users: Iterable[User] = (),
    ) -> None:
        self._home = home
        self._host, self._port = _split(listen) if listen is not None else (_LOOPBACK, 0)
        self._secured = listen is not None
        self._certificates = certificates
        self._users = tuple(users)
        self._endpoint = FabricEndpoint(url="")
        self._marker = FabricEndpoint(url="")
        self._process: asyncio.subprocess.Process | None = None
        self._changing = asyncio.Lock()
        self._keeper: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The nats-server that runs now."""
        return self._process.pid if self._process is not None else None

    @property
    def port(self) -> int:
        """Where it listens."""
        return urlsplit(self._endpoint.url).port or 0

    async def start(self) -> FabricEndpoint:
        """Start it and wait until it answers; its endpoint is in `fabric.json` then. Raises `Unavailable`."""
        if self._secured and self._certificates is None:
            from wasmgrid.fabric import certificates  # noqa: PLC0415 -- 60 ms, which a grid without TLS does not pay

            self._certificates = await asyncio.to_thread(certificates.ensure, self._home, [self._host])
        known = self._home.fabric()
        kept = known if known is not None and known.embedded and known.password else None
        port = self._port or (urlsplit(kept.url).port if kept else None) or _free_port(self._host)
        password = kept.password if kept else secrets.token_urlsafe(32)
        self._endpoint = self._at(port, FabricEndpoint(url="", user=OWNER, password=password, embedded=True))
        await self._launch()
        self._keeper = asyncio.create_task(self._keep(), name="nats-server")
        return self._endpoint

    async def reload(self, users: Iterable[User]) -> None:
        """Admit these users and no others, from when this returns; connections of those who are gone are cut.

        Connections of those who stay are not touched. Raises `Unavailable` where it does not come about in time;
        whatever runs next admits these then.
        """
        async with self._changing:
            self._users = tuple(users)
            process = self._process
            if process is None or process.returncode is not None:
                return  # nobody is connected, and the next one begins with these
            self._write_authorization()
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGHUP)
            if not await self._answers(process) and process.returncode is None:
                raise Unavailable("nats-server did not take the new credentials", hint=f"see {self._log_file}")

    async def stop(self) -> None:
        """Stop it; a kill where it does not stop by itself within two seconds."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        process, self._process = self._process, None
        if process is not None:
            await _end(process)

    # -- keeping it there ------------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        """Start it again whenever it ends or hangs."""
        pause_s = _FIRST_RESTART_S
        while True:
            if self._process is not None:
                started = asyncio.get_running_loop().time()
                log.error("nats-server ended; it is started again", status=await self._ended(self._process))
                if asyncio.get_running_loop().time() - started > _LAST_RESTART_S:
                    pause_s = _FIRST_RESTART_S
            try:
                await self._launch()
            except Unavailable as error:
                log.error("nats-server does not start", error=str(error))
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LAST_RESTART_S)

    async def _ended(self, process: asyncio.subprocess.Process) -> int:
        """Return its status when it has ended; one that lets nobody in for a while is killed."""
        ended = asyncio.ensure_future(process.wait())
        misses = 0
        try:
            while misses < _CHECK_MISSES:
                done, _ = await asyncio.wait([ended], timeout=_CHECK_EVERY_S)
                if done:
                    return ended.result()
                misses = misses + 1 if await self._hangs() else 0
            log.error("nats-server hangs; it is killed", pid=process.pid)
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            return await ended
        finally:
            ended.cancel()

    async def _launch(self) -> None:
        """A server that answers, at the endpoint or, where that may be, at a new port."""
        async with self._changing:
            for _ in range(_PORT_TRIES):
                if _is_free(self._host, self.port):
                    process = self._process = await self._spawn()
                    if await self._answers(process):
                        self._home.write_fabric(self._endpoint)
                        return
                    await _end(process)
                    self._process = None
                elif self._port:
                    raise Unavailable(
                        f"port {self._port} of {self._host} is taken", hint="stop what listens there, or name another"
                    )
                if not self._port:
                    self._endpoint = self._at(_free_port(self._host), self._endpoint)
        raise Unavailable("nats-server does not start", hint=f"see {self._log_file}")

    @property
    def _log_file(self) -> Path:
        return self._home.logs / "nats.log"

    def _at(self, port: int, credential: FabricEndpoint) -> FabricEndpoint:
        """Where this machine's processes find it, with that credential."""
        scheme, host = "tls" if self._secured else "nats", bracketed(_NEAR.get(self._host, self._host))
        return FabricEndpoint(
            url=f"{scheme}://{host}:{port}",
            user=credential.user,
            password=credential.password,
            embedded=credential.embedded,
            ca=self._certificates.ca_pem if self._certificates is not None and self._secured else None,
        )

    async def _spawn(self) -> asyncio.subprocess.Process:
        """The credential goes by a private file, never by arguments or environment."""
        directory = self._home.nats
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        config = directory / "nats.conf"
        write_atomically(config, self._config(), mode=0o600)
        self._write_authorization()
        return await asyncio.create_subprocess_exec(
            *leash.command([str(find_nats_server()), "--config", str(config)]),
            stdin=asyncio.subprocess.PIPE,  # held open for the leash; nothing is written
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=directory,
            env={},
            start_new_session=True,  # a Ctrl-C in the terminal is for the server process, which then stops this one
        )

    def _config(self) -> str:
        settings = {
            "listen": f"{bracketed(self._host)}:{self.port}",
            **COMMON,
            "log_file": str(self._log_file),
            "log_size_limit": 4 << 20,
            "log_max_num": 3,
        }
        if self._secured and self._certificates is not None:
            files = {"cert_file": str(self._certificates.certificate), "key_file": str(self._certificates.key)}
            settings["tls"] = {**files, "timeout": 5}
        return render(settings)

    def _write_authorization(self) -> None:
        """With a new marker each time: what lets it in is our server, with this file in force."""
        marker = FabricEndpoint(url="", user=f"marker-{secrets.token_hex(8)}", password=secrets.token_urlsafe(32))
        self._marker = self._at(self.port, marker)
        text = authorization.text(
            self._users,
            owner=(OWNER, self._endpoint.password or ""),
            marker=(self._marker.user or "", self._marker.password or ""),
        )
        write_atomically(self._home.nats / authorization.FILE_NAME, text, mode=0o600)

    async def _answers(self, process: asyncio.subprocess.Process) -> bool:
        """Whether what was written last comes to be in force; False when the server ended or took too long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_READY_S):
                while process.returncode is None:
                    if await self._lets_in():
                        return True
                    await asyncio.sleep(0.01)
        return False

    async def _lets_in(self) -> bool:
        """Whether the marker can connect."""
        try:
            await self._connect(_READY_S)
        except Unreachable:
            return False
        return True

    async def _hangs(self) -> bool:
        """Whether it says nothing at all. That we cannot connect for reasons of our own is no reason to kill it."""
        try:
            await self._connect(_CHECK_WAIT_S)
        except Unreachable as error:
            return isinstance(error.__cause__, TimeoutError)
        return False

    async def _connect(self, patience_s: float) -> None:
        server = self._marker.url
        client = await open_link(self._marker, server, name="marker", lost=asyncio.Event(), patience_s=patience_s)
        await close_link(client)


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


def _split(listen: str) -> tuple[str, int]:
    """The host and the port of "HOST:PORT", where an IPv6 address is in brackets."""
    host, port = "", None
    with contextlib.suppress(ValueError):
        parsed = urlsplit(f"//{listen}")
        host, port = parsed.hostname or "", parsed.port
    if port is None:
        raise InvalidField(f"{listen!r} is not HOST:PORT", field="listen")
    return host, port


def _free_port(host: str) -> int:
    with socket.socket(_family(host)) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _is_free(host: str, port: int) -> bool:
    with socket.socket(_family(host)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
