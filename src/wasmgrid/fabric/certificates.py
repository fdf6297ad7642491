"""Certificates of a grid's own authority: machines know whom they talk to, and nobody listens in.

A directory holds the authority (`ca.pem`, `ca.key`) and a certificate (`server.pem`, `server.key`); every key is 0600.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import ipaddress
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from wasmgrid.core.errors import InvalidField, Unavailable
from wasmgrid.home import Home, write_atomically

LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
_ANYWHERE = {"", "0.0.0.0", "::"}  # where a server may listen, and no client finds it  # noqa: S104
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*")
BROUGHT = "brought"  # a file that says so: the authority's key is elsewhere, so nothing here can be made anew
_AUTHORITY_DAYS, _SERVER_DAYS, _RENEW_DAYS = 3650, 825, 90
_SKEW = dt.timedelta(hours=1)  # a clock elsewhere may be behind ours


@dataclass(frozen=True, kw_only=True)
class Certificates:
    """The authority's certificate (PEM text, public) and the files of a server's certificate and key."""

    ca_pem: str
    certificate: Path
    key: Path


def ensure(home: Home, hosts: Iterable[str]) -> Certificates:
    """The home's server certificate for these host names and addresses, and for this machine by its local ones.

    Made where there is none, made anew where a name is missing or its end is near; the authority stays for ten years.
    Of several processes that race, all get the same. One that was brought from where its authority is stays as it is;
    it must be good for the first of the hosts. Raises `InvalidField` for a host that is none or that it is not for,
    `Unavailable`.
    """
    names = [host for host in hosts if host not in _ANYWHERE]
    if (home.tls / BROUGHT).exists():
        return _brought(home.tls, names[:1])
    return issue(home.tls, [*names, *LOCAL_HOSTS], into=home.tls)


def issue(authority: Path, hosts: Iterable[str], *, into: Path) -> Certificates:
    """As `ensure`, with the authority of one directory (made where there is none) and the result in another."""
    names = [_name(host) for host in dict.fromkeys(hosts) if host not in _ANYWHERE]
    try:
        for directory in (authority, into):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(authority):
            ca, ca_key = _authority(authority)
            certificate, key = into / "server.pem", into / "server.key"
            if not _serves(certificate, key, names, ca):
                _make(certificate, key, names, ca, ca_key)
            ca_pem = ca.public_bytes(Encoding.PEM).decode()
            if into != authority:
                write_atomically(into / "ca.pem", ca_pem, mode=0o644)
    except (OSError, ValueError) as error:
        raise Unavailable(
            f"the certificates in {into} cannot be made or read: {error}", hint=f"if they are damaged: rm -r {into}"
        ) from error
    return Certificates(ca_pem=ca_pem, certificate=certificate, key=key)


def _brought(directory: Path, hosts: list[str]) -> Certificates:
    """What somebody made elsewhere and put here, where it is good for these hosts and not over."""
    certificate, key = directory / "server.pem", directory / "server.key"
    elsewhere = "make it anew where its authority is: wasmgrid cluster init"
    try:
        ca_pem = (directory / "ca.pem").read_text(encoding="ascii")
        good = _serves(
            certificate, key, [_name(host) for host in hosts], x509.load_pem_x509_certificate(ca_pem.encode()), 0
        )
    except (OSError, ValueError) as error:
        raise Unavailable(f"the certificates in {directory} cannot be read: {error}", hint=elsewhere) from error
    if not good:
        raise InvalidField(
            f"the certificate in {directory} is not for {', '.join(hosts) or 'this machine'}, or no longer good",
            hint=elsewhere,
            field="advertise",
        )
    return Certificates(ca_pem=ca_pem, certificate=certificate, key=key)


def _authority(directory: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    certificate, key_file = directory / "ca.pem", directory / "ca.key"
    if certificate.exists() and key_file.exists():
        return x509.load_pem_x509_certificate(certificate.read_bytes()), _read_key(key_file)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "wasmgrid")])
    usage = _usage(key_cert_sign=True, crl_sign=True)
    made = (
        _builder(name, name, key.public_key(), key.public_key(), _AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    _write_key(key_file, key)
    write_atomically(certificate, made.public_bytes(Encoding.PEM).decode(), mode=0o644)
    return made, key


def _make(
    path: Path, key_file: Path, names: list[x509.GeneralName], ca: x509.Certificate, ca_key: ec.EllipticCurvePrivateKey
) -> None:
    """A certificate for both ends of TLS: the servers of a cluster are each other's clients."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "wasmgrid server")])
    both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    made = (
        _builder(subject, ca.subject, key.public_key(), ca_key.public_key(), _SERVER_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage(both), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    _write_key(key_file, key)
    write_atomically(path, made.public_bytes(Encoding.PEM).decode(), mode=0o644)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    issuer_key: ec.EllipticCurvePublicKey,
    days: int,
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
    )


def _serves(
    path: Path,
    key_file: Path,
    names: list[x509.GeneralName],
    ca: x509.Certificate,
    days: int = _RENEW_DAYS,
) -> bool:
    """Whether what is there has these names, this authority and some time left, and its key fits."""
    if not (path.exists() and key_file.exists()):
        return False
    found = x509.load_pem_x509_certificate(path.read_bytes())
    has = set(found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    left = found.not_valid_after_utc - dt.datetime.now(dt.UTC)
    return (
        has >= set(names)
        and left > dt.timedelta(days=days)
        and found.public_key() == _read_key(key_file).public_key()
        and _issued(found, ca)
    )


def _issued(found: x509.Certificate, ca: x509.Certificate) -> bool:
    try:
        found.verify_directly_issued_by(ca)
    except (ValueError, InvalidSignature):
        return False
    return True


def _name(host: str) -> x509.GeneralName:
    with suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(host))
    with suppress(ValueError):
        name = host.encode("idna").decode("ascii")
        if _HOST.fullmatch(name):
            return x509.DNSName(name)
    raise InvalidField(f"{host!r} is neither a host name nor an address", field="host")


def _usage(**granted: bool) -> x509.KeyUsage:
    kinds = [
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
        *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    ]
    return x509.KeyUsage(**{kind: granted.get(kind, False) for kind in kinds})


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{path} holds no elliptic-curve key")
    return key


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    write_atomically(path, text, mode=0o600)


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """One process at a time; the lock dies with it."""
    descriptor = os.open(directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
