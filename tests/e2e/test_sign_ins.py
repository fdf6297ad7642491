"""Sign-ins of browsers as an attacker, or another program of this host, would come at them; tests/web has the rest."""

from __future__ import annotations

import contextlib
import http.client
import json
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
from tests.e2e.grid import Grid


def ask(grid: Grid, method: str, path: str, body: object = None, **headers: str) -> tuple[int, str, bytes]:
    """Status, Set-Cookie and body of one request, without the token."""
    parts = urlsplit(grid.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    try:
        content = {"Content-Type": "application/json"} if body is not None else {}
        text = None if body is None else json.dumps(body)
        connection.request(method, path, text, {**content, **{key.replace("_", "-"): headers[key] for key in headers}})
        answer = connection.getresponse()
        return answer.status, answer.getheader("Set-Cookie", ""), answer.read()
    finally:
        connection.close()


def link_code(grid: Grid) -> str:
    return grid.text("dashboard").strip().partition("#")[2]


@pytest.fixture(scope="module")
def cookie(grid: Grid) -> str:
    """The cookie of a browser that is signed in."""
    status, given, _ = ask(grid, "POST", "/session", {"code": link_code(grid)}, Origin=grid.url)
    assert status == 204
    return given.partition(";")[0]


@pytest.mark.parametrize(
    "others",
    ["", 'a={"x":1}; ', "a=b c; ", 'a="unterminated; ', "a=\xfc; ", "a@b=1; ", "theme; ", "; ;=; ", "{name}=bad; "],
)
def test_cookies_of_other_programs_on_this_host_do_not_sign_a_browser_out(grid: Grid, cookie: str, others: str) -> None:
    sent = others.replace("{name}", cookie.partition("=")[0]) + cookie
    assert ask(grid, "GET", "/v1/jobs?limit=1", Cookie=sent)[0] == 200


def test_a_link_that_many_use_at_once_signs_one_in(grid: Grid) -> None:
    code = link_code(grid)
    with ThreadPoolExecutor(16) as pool:
        statuses = list(
            pool.map(lambda _: ask(grid, "POST", "/session", {"code": code}, Origin=grid.url)[0], range(32))
        )
    assert sorted(statuses) == [204, *[401] * 31]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "null"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "{url}.evil.example"},
        {"Sec_Fetch_Site": "same-site"},
        {"Origin": "{url}", "Host": "evil.example"},
    ],
)
def test_a_page_of_another_origin_changes_nothing_and_signs_nobody_in(
    grid: Grid, cookie: str, headers: dict[str, str]
) -> None:
    sent = {key: value.replace("{url}", grid.url) for key, value in headers.items()}
    assert ask(grid, "POST", "/v1/jobs/last/cancel", Cookie=cookie, **sent)[0] == 403
    assert ask(grid, "POST", "/session", {"code": "a guess"}, **sent)[0] == 403


@pytest.mark.parametrize(
    "path",
    [
        *("//v1/jobs", "/v1//jobs", "/schema/../v1/jobs", "/assets/../v1/jobs", "/assets/x/../../v1/jobs"),
        *("/assets/..%2f..%2fv1/jobs", "/assets/x/%2e%2e/%2e%2e/etc/passwd", "/jobs.json", "/jobs/1.json"),
        *("/overview.json/", "/metrics", "/new.json", "/jobs/1.json/"),
    ],
)
def test_no_spelling_of_a_path_gives_anything_away_before_a_sign_in(grid: Grid, path: str) -> None:
    assert ask(grid, "GET", path)[0] in {401, 404}


def test_what_streams_to_a_browser_ends_with_its_session(grid: Grid) -> None:
    _, given, _ = ask(grid, "POST", "/session", {"code": link_code(grid)}, Origin=grid.url)
    mine = given.partition(";")[0]
    parts = urlsplit(grid.url)
    with contextlib.closing(http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)) as connection:
        connection.request("GET", "/v1/overview/events", headers={"Cookie": mine})
        with connection.getresponse() as stream:
            assert stream.readline()
            assert ask(grid, "DELETE", "/session", Cookie=mine, Origin=grid.url)[0] == 204
            while stream.readline():  # or the connection's time-out fails this
                pass


def test_a_session_that_was_ended_is_over(grid: Grid) -> None:
    _, given, _ = ask(grid, "POST", "/session", {"code": link_code(grid)}, Origin=grid.url)
    mine = given.partition(";")[0]
    assert ask(grid, "GET", "/v1/jobs?limit=1", Cookie=mine)[0] == 200
    assert ask(grid, "DELETE", "/session", Cookie=mine, Origin=grid.url)[0] == 204
    assert ask(grid, "GET", "/v1/jobs?limit=1", Cookie=mine)[0] == 401
