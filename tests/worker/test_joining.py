"""Who a worker is, where its grid is, and what it refuses to be."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from wasmgrid.core.errors import HomeInUse, InvalidField, NotFound
from wasmgrid.fabric.credentials import Credential, make
from wasmgrid.home import FabricEndpoint, Home
from wasmgrid.worker import joining
from wasmgrid.worker.options import WorkerOptions, check


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home").create()


def credential(name: str = "rack7", **given: Any) -> Credential:
    fields = {"name": name, "kind": "worker", "nats_url": "tls://grid:4222", "seed": make()[0], "ca": "PEM", **given}
    return Credential(**fields)


def test_ids_without_a_credential_are_the_first_that_are_free(home: Home) -> None:
    first, lock = joining.claim(home, None, None)
    second, other = joining.claim(home, None, None)
    assert (first, second) == ("w1", "w2")
    os.close(lock)
    again, lock = joining.claim(home, None, None)
    assert again == "w1"
    with pytest.raises(HomeInUse, match="w1 runs already"):
        joining.claim(home, "w1", None)
    os.close(lock)
    os.close(other)


def test_ids_under_a_credential_are_its_name_and_numbers(home: Home) -> None:
    mine = credential()
    claims = [joining.claim(home, None, mine) for _ in range(3)]
    assert [worker_id for worker_id, _ in claims] == ["rack7", "rack7:2", "rack7:3"]
    named, lock = joining.claim(home, "rack7:9", mine)
    assert named == "rack7:9"
    for descriptor in [lock, *(descriptor for _, descriptor in claims)]:
        os.close(descriptor)
    with pytest.raises(InvalidField, match="does not cover the id w1"):
        joining.claim(home, "w1", mine)
    for wrong in ("rack7:1", "rack7:x", "../w1", "a.b"):
        with pytest.raises(InvalidField, match="is not a worker's id"):
            joining.claim(home, wrong, mine)


def test_where_the_fabric_is(home: Home) -> None:
    def there(join: str | None = None, mine: Credential | None = None) -> FabricEndpoint:
        return joining.endpoint(WorkerOptions(home=home, join=join), mine)()

    with pytest.raises(NotFound, match="no grid in"):
        there()
    mine = credential()
    assert there(mine=mine) == FabricEndpoint(url="tls://grid:4222", seed=mine.seed, ca="PEM")
    assert there("tls://a:1,tls://b:2", mine).servers == ["tls://a:1", "tls://b:2"]
    ours = FabricEndpoint(url="nats://127.0.0.1:4222", user="wasmgrid", password="secret", embedded=True)
    home.write_fabric(ours)
    assert there() == ours
    assert there("nats://wasmgrid@far:4222").password == "secret"
    assert there("nats://other@far:4222").password == ""
    assert there("nats://far:4222").user is None
    with pytest.raises(InvalidField):
        there("http://far")


def test_a_credential_comes_from_a_file_or_from_stdin(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = credential()
    path = home.path / "credential"
    mine.write(path)
    assert joining.credential_of(WorkerOptions(home=home)) is None
    assert joining.credential_of(WorkerOptions(home=home, credential=path)) == mine
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(path.read_bytes())))
    assert joining.credential_of(WorkerOptions(home=home, credential="-")) == mine
    credential(kind="server").write(path)
    with pytest.raises(InvalidField, match="credential of a server"):
        joining.credential_of(WorkerOptions(home=home, credential=path))


@pytest.mark.parametrize(
    ("field", "stated"),
    [
        ("cpus", {"cpus": 0}),
        ("cpus", {"cpus": float("nan")}),
        ("memory_mb", {"memory_mb": -1}),
        ("disk_mb", {"disk_mb": -1}),
        ("slots", {"slots": 0}),
        ("until_s", {"until_s": 0}),
        ("drain_s", {"drain_s": float("inf")}),
        ("labels", {"labels": {"a b": "c"}}),
        ("labels.region", {"labels": {"region": ">"}}),
        ("labels.gpu", {"labels": {"gpu": "H100"}}),
    ],
)
def test_what_cannot_be_is_refused_with_its_name(home: Home, field: str, stated: dict[str, Any]) -> None:
    with pytest.raises(InvalidField) as refused:
        check(WorkerOptions(home=home, **stated))
    assert refused.value.field == field
    check(WorkerOptions(home=home, cpus=0.5, memory_mb=100, labels={"arch": "arm64"}, until_s=7200, drain_s=0))
