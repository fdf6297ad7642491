"""A network of machines that is not there: one network namespace each, a bridge between them, cables to be cut.

The namespaces have no names: they are held by open descriptors and by the processes inside, so they and everything in
them are gone when those are, however the tests end. Nothing of the machine's own network is touched.
"""

from __future__ import annotations

import contextlib
import ctypes
import enum
import os
import subprocess
import threading
from collections.abc import Iterator

_CLONE_NEWNET = 0x40000000
_SUBNET = "10.213.7"
_libc = ctypes.CDLL(None, use_errno=True)


class Cut(enum.StrEnum):
    """Which way nothing gets through, as seen by the machine that is cut off."""

    BOTH = "both"
    OUT = "out"
    IN = "in"


class Machine:
    """One machine of a network: its namespace and its address. `None` as its descriptor: this machine, loopback."""

    def __init__(self, name: str, address: str = "127.0.0.1", descriptor: int | None = None) -> None:
        self.name = name
        self.address = address
        self.descriptor = descriptor

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """This thread is on that machine, with the sockets that it opens and the processes that it starts."""
        if self.descriptor is None:
            yield
            return
        before = _current()
        _enter(self.descriptor)
        try:
            yield
        finally:
            _enter(before)
            os.close(before)


class Network:
    """Machines on one bridge, each with a cable of its own; `close` lets go of all. Needs root."""

    def __init__(self) -> None:
        self._machines: dict[str, Machine] = {}
        self._switch = Machine("switch", descriptor=_new_namespace())
        self._ip(self._switch, "link", "add", "name", "bridge0", "type", "bridge")
        self._ip(self._switch, "link", "set", "dev", "bridge0", "up")

    def machine(self, name: str) -> Machine:
        """A further machine; it reaches every other one."""
        number = len(self._machines) + 1
        descriptor = _new_namespace()
        machine = Machine(name, f"{_SUBNET}.{number}", descriptor)
        cable = f"cable{number}"
        peer = f"/proc/{os.getpid()}/fd/{descriptor}"
        self._ip(self._switch, "link", "add", "name", cable, "type", "veth", "peer", "name", "eth0", "netns", peer)
        self._ip(self._switch, "link", "set", "dev", cable, "master", "bridge0", "up")
        self._ip(machine, "link", "set", "dev", "lo", "up")
        self._ip(machine, "address", "add", f"{machine.address}/24", "dev", "eth0")
        self._ip(machine, "link", "set", "dev", "eth0", "up")
        self._machines[name] = machine
        return machine

    def cut(self, machine: Machine, way: Cut) -> None:
        """Drop every packet of that way. Connections stay open and silent, as when a cable is pulled."""
        if way is not Cut.IN:
            self._drop(machine, "eth0")
        if way is not Cut.OUT:
            self._drop(self._switch, self._cable(machine))

    def silence(self, machine: Machine, towards: list[Machine]) -> None:
        """Drop what that machine sends to those, and nothing else: they are still heard."""
        for other in towards:
            nobody = ("lladdr", "02:00:00:00:00:ff", "nud", "permanent", "dev", "eth0")
            self._ip(machine, "neighbour", "replace", other.address, *nobody)

    def heal(self, machine: Machine) -> None:
        """Let every packet through again, whatever was cut."""
        with machine.inside():
            for other in self._machines.values():
                words = ["ip", "neighbour", "del", other.address, "dev", "eth0"]
                subprocess.run(words, capture_output=True, check=False)
        for where, device in ((machine, "eth0"), (self._switch, self._cable(machine))):
            with where.inside():
                subprocess.run(["tc", "qdisc", "del", "dev", device, "root"], capture_output=True, check=False)

    def close(self) -> None:
        """Let go: namespaces end with the last process in them."""
        for machine in (*self._machines.values(), self._switch):
            if machine.descriptor is not None:
                os.close(machine.descriptor)
        self._machines.clear()

    def _cable(self, machine: Machine) -> str:
        return f"cable{list(self._machines.values()).index(machine) + 1}"

    def _drop(self, where: Machine, device: str) -> None:
        # A token bucket that holds one byte drops every packet: no module beyond the kernel's commonest is needed.
        bucket = ("tbf", "rate", "8bit", "burst", "1b", "limit", "1b")
        _run(where, "tc", "qdisc", "replace", "dev", device, "root", *bucket)

    def _ip(self, where: Machine, *words: str) -> None:
        _run(where, "ip", *words)


def why_not() -> str | None:
    """Why no network can be made here; None where it can."""
    try:
        network = Network()
        try:
            machine = network.machine("probe")
            network.cut(machine, Cut.BOTH)
        finally:
            network.close()
    except (OSError, subprocess.CalledProcessError) as error:
        told = error.stderr.strip() if isinstance(error, subprocess.CalledProcessError) else str(error)
        return f"network namespaces cannot be made here: {told}"
    return None


def _run(where: Machine, *argv: str) -> None:
    with where.inside():
        subprocess.run(argv, capture_output=True, text=True, check=True)


def _new_namespace() -> int:
    """A descriptor of a new, empty network namespace; this thread stays in its own."""
    before = _current()
    try:
        if _libc.unshare(_CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWNET)")
        made = _current()
        _enter(before)
    finally:
        os.close(before)
    return made


def _current() -> int:
    return os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns(CLONE_NEWNET)")
