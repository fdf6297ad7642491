"""Certificates: real TLS between real sockets, who trusts whom, and when they are made anew."""

from __future__ import annotations

import datetime as dt
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from cryptography import x509

from wasmgrid.core.errors import InvalidField, Unavailable
from wasmgrid.fabric import certificates
from wasmgrid.fabric.certificates import Certificates
from wasmgrid.home import Home

RACER = """
import sys
from pathlib import Path
from wasmgrid.fabric import certificates
from wasmgrid.home import Home
made = certificates.ensure(Home(Path(sys.argv[1])), ["grid.example"])
print(hash(made.ca_pem) and made.ca_pem.replace("\\n", ""), made.certificate.read_text().replace("\\n", ""))
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home").create()


def _handshake(server: Certificates, ca_pem: str, host: str) -> str:
    """TLS to `server` as `host` with this authority; the protocol's name. Raises what the client raises."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.certificate, server.key)
    ours, theirs = socket.socketpair()

    def answer() -> None:
        with theirs:
            try:
                with context.wrap_socket(theirs, server_side=True) as secured:
                    secured.recv(1)
            except OSError:
                return

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        client = ssl.create_default_context(cadata=ca_pem)
        client.verify_flags |= ssl.VERIFY_X509_STRICT  # what later Pythons ask for
        with ours, client.wrap_socket(ours, server_hostname=host) as secured:
            return str(secured.version())
    finally:
        ours.close()
        thread.join()


def test_a_client_with_the_authority_reaches_every_name_and_no_other(home: Home) -> None:
    made = certificates.ensure(home, ["grid.example", "192.0.2.7", "2001:db8::1"])
    for host in ("grid.example", "192.0.2.7", "2001:db8::1", "localhost", "127.0.0.1", "::1"):
        assert _handshake(made, made.ca_pem, host) == "TLSv1.3"
    for host in ("other.example", "192.0.2.8"):
        with pytest.raises(ssl.SSLCertVerificationError):
            _handshake(made, made.ca_pem, host)


def test_another_authority_is_not_trusted(home: Home, tmp_path: Path) -> None:
    made = certificates.ensure(home, [])
    other = certificates.ensure(Home(tmp_path / "other"), [])
    with pytest.raises(ssl.SSLCertVerificationError):
        _handshake(made, other.ca_pem, "localhost")


def test_keys_are_private(home: Home) -> None:
    made = certificates.ensure(home, [])
    assert home.tls.stat().st_mode & 0o777 == 0o700
    for key in (made.key, home.tls / "ca.key"):
        assert key.stat().st_mode & 0o777 == 0o600
        assert "PRIVATE KEY" in key.read_text()
    assert (home.tls / "ca.pem").read_text() == made.ca_pem


def test_it_stays_while_it_serves_and_is_made_anew_for_a_new_name(home: Home) -> None:
    first = certificates.ensure(home, ["a.example", "0.0.0.0"])  # noqa: S104
    text = first.certificate.read_text()
    assert certificates.ensure(home, ["a.example"]) == first
    assert first.certificate.read_text() == text
    certificates.ensure(home, ["a.example", "b.example"])
    assert first.certificate.read_text() != text
    assert _handshake(first, first.ca_pem, "b.example")


def test_it_is_made_anew_near_its_end_and_the_authority_is_not(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "_SERVER_DAYS", certificates._RENEW_DAYS - 1)
    old = certificates.ensure(home, [])
    text = old.certificate.read_text()
    monkeypatch.undo()
    new = certificates.ensure(home, [])
    assert new.certificate.read_text() != text
    assert new.ca_pem == old.ca_pem
    left = x509.load_pem_x509_certificate(new.certificate.read_bytes()).not_valid_after_utc - dt.datetime.now(dt.UTC)
    assert left > dt.timedelta(days=certificates._RENEW_DAYS)


@pytest.mark.parametrize("lost", ["server.pem", "server.key", "ca.key", "ca.pem"])
def test_what_was_lost_is_made_anew_and_fits_together(home: Home, lost: str) -> None:
    certificates.ensure(home, [])
    (home.tls / lost).unlink()
    made = certificates.ensure(home, [])
    assert _handshake(made, made.ca_pem, "localhost")


def test_a_key_of_another_certificate_is_not_used(home: Home, tmp_path: Path) -> None:
    other = certificates.ensure(Home(tmp_path / "other"), [])
    made = certificates.ensure(home, [])
    shutil.copy(other.key, made.key)
    assert _handshake(certificates.ensure(home, []), made.ca_pem, "localhost")


def test_damage_is_said_with_what_to_do(home: Home) -> None:
    certificates.ensure(home, [])
    (home.tls / "ca.pem").write_text("damaged")
    with pytest.raises(Unavailable, match="rm -r"):
        certificates.ensure(home, [])


@pytest.mark.parametrize("host", ["a b", "ü" * 70, "-" * 300, "a..b"])
def test_a_host_that_is_none_is_refused(home: Home, host: str) -> None:
    with pytest.raises(InvalidField):
        certificates.ensure(home, [host])


def test_one_authority_issues_for_several_machines(tmp_path: Path) -> None:
    made = [certificates.issue(tmp_path / "ca", [f"n{n}.example"], into=tmp_path / f"n{n}") for n in range(3)]
    assert len({each.ca_pem for each in made}) == 1
    for number, each in enumerate(made):
        assert _handshake(each, made[0].ca_pem, f"n{number}.example")
        assert (tmp_path / f"n{number}" / "ca.pem").read_text() == made[0].ca_pem
        assert not (tmp_path / f"n{number}" / "ca.key").exists()


def test_all_who_race_get_one_authority_and_one_certificate(home: Home) -> None:
    argv = [sys.executable, "-c", RACER, str(home.path)]
    racers = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    printed = {racer.communicate()[0] for racer in racers}
    assert all(racer.returncode == 0 for racer in racers)
    assert len(printed) == 1
