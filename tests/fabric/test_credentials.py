"""Credentials: made here, private in their file, never shown, refused where they are damaged."""

from __future__ import annotations

import io
import os
from pathlib import Path

import nkeys
import pytest

from wasmgrid.core.errors import InvalidField, NotFound, Unavailable
from wasmgrid.fabric import credentials
from wasmgrid.fabric.credentials import Credential


def _credential() -> Credential:
    return Credential(name="w1", kind="worker", nats_url="tls://a:4222", seed=credentials.make()[0], ca="PEM")


def test_a_key_pair_signs_what_the_public_key_verifies() -> None:
    seed, public_key = credentials.make()
    pair = nkeys.from_seed(bytearray(seed.encode()))
    assert pair.public_key.decode() == public_key == credentials.public_key(seed)
    assert pair.verify(b"nonce", pair.sign(b"nonce"))
    assert credentials.make()[0] != seed


def test_a_file_round_trip_is_private(tmp_path: Path) -> None:
    credential, path = _credential(), tmp_path / "w1.credential"
    path.write_text("older")
    path.chmod(0o644)
    credential.write(path)
    assert credentials.read(path) == credential
    assert path.stat().st_mode & 0o777 == 0o600


def test_it_may_come_by_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    credential = _credential()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(credential.text().encode())))
    assert credentials.read("-") == credential


def test_the_seed_is_not_shown() -> None:
    credential = _credential()
    for shown in (repr(credential), str(credential), repr(credential.endpoint), f"{credential.endpoint}"):
        assert credential.seed not in shown
        assert "tls://a:4222" in shown


def test_no_file_and_an_unreadable_one_are_said(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="wasmgrid credential"):
        credentials.read(tmp_path / "none")
    with pytest.raises(Unavailable):
        credentials.read(tmp_path)
    with pytest.raises(Unavailable):
        _credential().write(tmp_path / "no" / "directory")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "null",
        '{"name": "w1", "kind": "worker", "nats_url": "tls://a", "seed": 7}',
        '{"name": "w1", "kind": "leader", "nats_url": "tls://a", "seed": "S"}',
        '{"name": "w1", "kind": "worker", "nats_url": "tls://a", "seed": "SUA"}',
        '{"name": "*", "kind": "worker", "nats_url": "tls://a", "seed": "SUA"}',
    ],
)
def test_what_is_no_credential_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "credential"
    path.write_text(text)
    with pytest.raises(InvalidField):
        credentials.read(path)


def test_a_seed_that_was_cut_or_mistyped_is_refused_and_not_shown() -> None:
    seed, public_key = credentials.make()
    wrong = "B" if seed[30] == "A" else "A"
    for damaged in (
        seed[:-1],
        seed[:30] + wrong + seed[31:],
        seed.lower(),
        public_key,
        "",
        "ü" * 58,
        os.urandom(29).hex(),
    ):
        with pytest.raises(InvalidField) as error:
            credentials.public_key(damaged)
        assert not damaged or damaged not in str(error.value)
