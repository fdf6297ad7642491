"""Which server, and whose token: a home's token is shown to that home's server alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from wasmgrid.core.errors import InvalidField, Unreachable
from wasmgrid.home import Home
from wasmgrid.sdk import endpoint
from wasmgrid.sdk.client import Client
from wasmgrid.sdk.servers import check_url


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    for name in ("WASMGRID_SERVER", "WASMGRID_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WASMGRID_HOME", str(tmp_path / "home"))
    return Home.default().create()


@pytest.mark.parametrize(
    ("named", "url"),
    [
        ("localhost", "http://localhost:3030"),
        ("10.0.0.1:80", "https://10.0.0.1:80"),
        ("http://grid.example/", "http://grid.example"),
        ("https://grid.example:8443/prefix/", "https://grid.example:8443/prefix"),
        ("::1", "http://[::1]:3030"),
        ("[::1]:99", "http://[::1]:99"),
    ],
)
def test_addresses(named: str, url: str) -> None:
    assert endpoint.base_url(named) == url


@pytest.mark.parametrize("named", ["ftp://x", "http://", "localhost:port", "http://x:99999999"])
def test_what_is_no_address(named: str) -> None:
    with pytest.raises(InvalidField):
        check_url(endpoint.base_url(named))


def test_flag_before_variable_before_home(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.write_endpoint("http://127.0.0.1:1234")
    assert endpoint.find().urls == ("http://127.0.0.1:1234",)
    monkeypatch.setenv("WASMGRID_SERVER", "variable:1")
    assert endpoint.find().urls == ("https://variable:1",)
    assert endpoint.find("flag:2").urls == ("https://flag:2",)


def test_nothing_runs(home: Home) -> None:
    with pytest.raises(Unreachable, match="no server is running") as error:
        Client()
    assert error.value.hint == "start one: wasmgrid up"


def test_the_token_of_the_home_goes_nowhere_else(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.write_endpoint("http://127.0.0.1:1234")
    token = home.ensure_token()
    assert endpoint.find().token == token
    assert endpoint.find("localhost:1234").token == token
    for other in ("localhost:1235", "evil.example:1234", "https://127.0.0.1:1234"):
        assert endpoint.find(other).token is None
    monkeypatch.setenv("WASMGRID_TOKEN", "mine")
    assert endpoint.find("evil.example:1234").token == "mine"
    assert "mine" not in repr(endpoint.find())


def test_several_servers_in_one_variable(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WASMGRID_SERVER", "a:1, https://b:2 ,127.0.0.1:3,")
    assert endpoint.find().urls == ("https://a:1", "https://b:2", "http://127.0.0.1:3")


def test_the_homes_own_server_is_known_to_speak_tls(home: Home) -> None:
    home.write_endpoint("https://127.0.0.1:1234")
    token = home.ensure_token()
    assert endpoint.find("localhost:1234") == endpoint.Found(("https://127.0.0.1:1234",), token)
    assert endpoint.find("localhost:1235").urls == ("http://localhost:1235",)


def test_whose_certificates_are_trusted(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.write_endpoint("https://127.0.0.1:1234")
    own = home.path / "tls" / "ca.pem"
    own.parent.mkdir(exist_ok=True)
    own.write_text("PEM")
    assert endpoint.find().ca == own
    assert endpoint.find("elsewhere:1234").ca is None  # the system's authorities
    named = tmp_path / "other.pem"
    named.write_text("PEM")
    monkeypatch.setenv("WASMGRID_CA", str(named))
    assert endpoint.find().ca == named
    assert endpoint.find(ca=own).ca == own
    monkeypatch.setenv("WASMGRID_CA", str(tmp_path / "none.pem"))
    with pytest.raises(InvalidField, match="with certificates"):
        endpoint.find()


def test_an_authority_that_is_none(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "broken.pem"
    broken.write_text("not a certificate")
    monkeypatch.setenv("WASMGRID_CA", str(broken))
    with pytest.raises(InvalidField, match="no certificates"):
        Client("https://127.0.0.1:1")
