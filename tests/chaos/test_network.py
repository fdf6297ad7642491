"""The cables that the chaos tests cut are really cut, the way they say."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
from tests.chaos.network import Cut, Machine, Network, why_not

DEADLINE_S = 20.0


@pytest.fixture
def network() -> Iterator[Network]:
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    made = Network()
    try:
        yield made
    finally:
        made.close()


def datagrams(machine: Machine) -> socket.socket:
    """A UDP socket on that machine."""
    with machine.inside():
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((machine.address, 0))
    made.settimeout(0.2)
    return made


def passes(sender: socket.socket, receiver: socket.socket, tries: int) -> bool:
    """Whether one of `tries` datagrams arrives, a fifth of a second apart."""
    token = str(time.monotonic_ns()).encode()
    for _ in range(tries):
        sender.sendto(token, receiver.getsockname())
        try:
            while receiver.recv(100) != token:
                pass
        except TimeoutError:
            continue
        return True
    return False


@pytest.mark.parametrize("way", Cut)
def test_a_cut_stops_its_way_and_heals(network: Network, way: Cut) -> None:
    one, other = network.machine("one"), network.machine("other")
    with datagrams(one) as mine, datagrams(other) as theirs:
        patient = int(DEADLINE_S / 0.2)
        assert passes(mine, theirs, patient)
        assert passes(theirs, mine, patient)
        network.cut(one, way)
        assert passes(mine, theirs, 3) is (way is Cut.IN)
        assert passes(theirs, mine, 3) is (way is Cut.OUT)
        network.heal(one)
        assert passes(mine, theirs, patient)
        assert passes(theirs, mine, patient)


def test_a_machine_is_silent_towards_some_alone(network: Network) -> None:
    one, other, third = (network.machine(name) for name in ("one", "other", "third"))
    with datagrams(one) as mine, datagrams(other) as theirs, datagrams(third) as thirds:
        network.silence(one, [other])
        assert not passes(mine, theirs, 3)
        assert passes(theirs, mine, int(DEADLINE_S / 0.2))
        assert passes(mine, thirds, int(DEADLINE_S / 0.2))
        network.heal(one)
        assert passes(mine, theirs, int(DEADLINE_S / 0.2))


def test_machines_have_loopbacks_of_their_own(network: Network) -> None:
    with network.machine("one").inside(), socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        socket.create_connection(("127.0.0.1", port), DEADLINE_S).close()
    with network.machine("other").inside(), pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), DEADLINE_S)
