"""Who gets in: a link once, the token, a session that ends when somebody says so; and nobody through another page."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect
from tests.e2e.grid import Grid
from tests.web.conftest import watched


@pytest.fixture
def stranger(browser: Browser, grid: Grid) -> Iterator[Page]:
    """A browser that nobody has signed in."""
    with watched(browser.new_context(base_url=grid.url)) as context:
        yield context.new_page()


@contextlib.contextmanager
def session_of(grid: Grid) -> Iterator[httpx.Client]:
    """A client with a session's cookie and no token, as a browser is."""
    code = grid.text("dashboard").strip().partition("#")[2]
    with httpx.Client(base_url=grid.url) as client:
        assert client.post("/session", json={"code": code}, headers={"Origin": grid.url}).status_code == 204
        yield client


def test_a_link_signs_one_browser_in_and_no_second_one(stranger: Page, browser: Browser, grid: Grid) -> None:
    link = grid.text("dashboard").strip()
    stranger.goto(link)
    expect(stranger.get_by_role("heading", name="Overview")).to_be_visible()
    assert "#" not in stranger.url
    assert stranger.evaluate("document.cookie") == ""
    (cookie,) = stranger.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["secure"]) == (True, "Strict", False)
    with watched(browser.new_context()) as second:
        page = second.new_page()
        page.goto(link)
        expect(page.get_by_role("alert")).to_contain_text("this link was used before")
        expect(page.get_by_role("alert")).to_contain_text("wasmgrid dashboard")
        assert not second.cookies()


def test_without_a_session_a_page_says_what_to_type_and_takes_the_token(stranger: Page, grid: Grid) -> None:
    stranger.goto("/workers")
    expect(stranger.get_by_text("wasmgrid dashboard")).to_be_visible()
    stranger.get_by_label("paste the grid's token").fill("not-the-token")
    stranger.get_by_role("button", name="Sign in").click()
    expect(stranger.get_by_role("alert")).to_contain_text("this is not the grid's token")
    stranger.get_by_label("paste the grid's token").fill(grid.token)
    stranger.get_by_label("paste the grid's token").press("Enter")
    expect(stranger.get_by_role("heading", name="Workers")).to_be_visible()
    stranger.reload()
    expect(stranger.get_by_role("heading", name="Workers")).to_be_visible()


def test_signing_out_ends_the_session_and_not_the_cookie_alone(stranger: Page, grid: Grid) -> None:
    stranger.goto(grid.text("dashboard").strip())
    expect(stranger.get_by_role("heading", name="Overview")).to_be_visible()
    (cookie,) = stranger.context.cookies()
    stranger.get_by_role("button", name="Sign out").click()
    expect(stranger.get_by_role("heading", name="Sign in to this grid")).to_be_visible()
    kept = {"Cookie": f"{cookie['name']}={cookie['value']}"}
    assert httpx.get(f"{grid.url}/v1/jobs", headers=kept).status_code == 401


def test_all_browsers_are_signed_out_at_once(grid: Grid) -> None:
    with session_of(grid) as one, session_of(grid) as another:
        assert one.get("/v1/jobs").status_code == another.get("/v1/jobs").status_code == 200
        link = grid.text("dashboard").strip()
        ended = json.loads(grid.text("dashboard", "--sign-out", "--json"))["ended"]
        assert ended >= 3  # two sessions and the link, of other tests perhaps more
        assert one.get("/v1/jobs").status_code == another.get("/v1/jobs").status_code == 401
        code = link.partition("#")[2]
        assert one.post("/session", json={"code": code}, headers={"Origin": grid.url}).status_code == 401


def test_no_other_page_acts_with_the_cookie(grid: Grid) -> None:
    with session_of(grid) as browser:
        own = {"Origin": grid.url}
        assert browser.get("/v1/jobs").status_code == 200
        submitted = browser.post("/v1/jobs", json={"name": "x"}, headers=own)
        assert submitted.status_code == 422  # let in, and then judged
        port = grid.url.rpartition(":")[2]
        for foreign in (
            {},
            {"Origin": "null"},
            {"Origin": "https://elsewhere.example"},
            {"Origin": f"http://127.0.0.1:{int(port) + 1}"},
            own | {"Sec-Fetch-Site": "cross-site", "Host": "elsewhere.example"},
        ):
            for method, path in (("POST", "/v1/jobs"), ("POST", "/v1/workers/w1/drain"), ("DELETE", "/v1/jobs/1")):
                assert browser.request(method, path, headers=foreign).status_code == 403, (method, path, foreign)
        site = {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}
        assert browser.get("/v1/jobs", headers=site).status_code == 403


def test_a_sign_in_is_refused_where_it_is_none(grid: Grid) -> None:
    own = {"Origin": grid.url}
    with httpx.Client(base_url=grid.url) as client:
        assert client.post("/session", json={"token": grid.token}).status_code == 403  # from no page
        assert client.post("/session", json={"token": ""}, headers=own).status_code == 422
        assert client.post("/session", json={}, headers=own).status_code == 401
        assert client.post("/session", json={"code": "x" * 32}, headers=own).status_code == 401
        assert client.post("/session", content=b"x" * 100_000, headers=own).status_code == 413
        assert client.post("/v1/sign-ins", headers=own).status_code == 401
        assert client.get("/v1/jobs", headers={"Cookie": "wasmgrid-00000000=x"}).status_code == 401
        assert client.get("/jobs/1.json").status_code == 401
        assert client.get("/jobs/..%2f..%2ftoken").status_code in {401, 404}
        assert client.get("/assets/x/../../../data.py").status_code in {401, 404}


def test_the_browser_that_is_opened_is_given_the_link_in_a_file_of_ones_own(
    stranger: Page, grid: Grid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opener = tmp_path / "opener"
    opener.write_text(f'#!/bin/sh\nprintf %s "$1" > {tmp_path}/opened\n')
    opener.chmod(0o700)
    monkeypatch.setenv("BROWSER", f"{opener} %s")
    link = grid.text("dashboard", "--open").strip()
    opened = (tmp_path / "opened").read_text()
    assert opened == (grid.home / "dashboard.html").as_uri()  # what every process may read has no secret
    assert (grid.home / "dashboard.html").stat().st_mode & 0o777 == 0o600
    assert link in (grid.home / "dashboard.html").read_text()
    stranger.goto(opened)
    expect(stranger.get_by_role("heading", name="Overview")).to_be_visible()


def test_the_links_code_is_in_no_log(grid: Grid) -> None:
    code = grid.text("dashboard").strip().partition("#")[2]
    with httpx.Client(base_url=grid.url) as client:
        client.post("/session", json={"code": code}, headers={"Origin": grid.url})
    kept = [path for path in grid.home.rglob("*") if path.is_file() and path.suffix in {".log", ".json"}]
    assert kept
    assert not [path for path in kept if code in path.read_text(errors="replace")]
    assert "/sign-in#" not in (grid.home / "logs" / "up.log").read_text()


def test_an_address_that_is_no_page_says_so_to_people_and_to_programs(stranger: Page, grid: Grid) -> None:
    answer = stranger.goto("/no/such/page")
    assert answer is not None
    assert answer.status == 401
    stranger.get_by_label("paste the grid's token").fill(grid.token)
    stranger.get_by_label("paste the grid's token").press("Enter")
    expect(stranger.get_by_role("heading", name="There is no such page")).to_be_visible()
    answer = stranger.reload()
    assert answer is not None
    assert answer.status == 404
    expect(stranger.get_by_role("heading", name="There is no such page")).to_be_visible()
    stranger.get_by_role("link", name="To the overview").click()
    expect(stranger.get_by_role("heading", name="Overview")).to_be_visible()
    browser = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}
    with session_of(grid) as client:
        page = client.get("/no/such/page", headers=browser)
        assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
        assert page.headers["cache-control"] == "no-store"
        for path, headers in (("/no/such/page", {}), ("/v1/nothing", browser), ("/nothing.json", browser)):
            problem = client.get(path, headers=headers)
            assert (problem.status_code, problem.json()["code"]) == (404, "not_found"), path
    for path in ("/jobs/1.json", "/v1/jobs", "/metrics", "/jobs/1%2ejson"):
        refused = httpx.get(f"{grid.url}{path}", headers=browser)
        assert (refused.status_code, refused.json()["code"]) == (401, "unauthorized"), path
