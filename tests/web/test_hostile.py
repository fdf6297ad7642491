"""What programs print and people name, where someone means harm: a browser shows it and runs nothing of it."""

from __future__ import annotations

import ast
import json
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect
from tests.e2e import programs
from tests.e2e.grid import Grid
from tests.web.pages import Dashboard

HTML = '<img src=x onerror="window.pwned=1"><script>window.pwned=2</script></pre><svg onload=window.pwned=3>'
ESCAPES = (
    "\x1b[31mred\x1b[0m plain \x1b]0;title\x07after-title \x1b]8;;javascript:window.pwned=4\x1b\\link\x1b]8;;\x1b\\ "
    "\x1b[2J\x1b[1;1Hhome \x1bP1;2|dcs\x1b\\dcs-gone \x9b31mc1 bell\x07 back\x08space \u202eright-to-left\n"
    "progress 1\rprogress 2\r\nend <b>bold</b>\x1b[38;2;1;2;3"
)


def submit(grid: Grid, **spec: Any) -> int:
    """A job, as the API takes it: the command line would not say such things."""
    answer = httpx.post(
        f"{grid.url}/v1/jobs?wait=60", json=spec, headers={"Authorization": f"Bearer {grid.token}"}, timeout=90
    )
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


def prints(text: str, **spec: Any) -> dict[str, Any]:
    """The request of a job that prints `text`."""
    return {"source": {"files": {"prints.wat": programs.prints(text)}}, **spec}


def unharmed(page: Page) -> None:
    """Nothing of what was shown has run or become a part of the page."""
    assert page.evaluate("window.pwned") is None
    assert page.locator("img[src=x], svg[onload], #app script, #app b >> text=bold").count() == 0


def test_hostile_48_escapes_in_output_are_colours_or_nothing(dashboard: Dashboard) -> None:
    job = submit(dashboard.grid, **prints(ESCAPES))
    page = dashboard.open(f"/jobs/{job}")
    output = page.get_by_role("log", name="Output")
    dashboard.sees(output, "end <b>bold</b>")
    lines = output.locator(".line").all_text_contents()
    assert lines[0].startswith("red plain after-title link home dcs-gone c1 bell␇ back␈space ")
    assert lines[1:] == ["progress 2", "end <b>bold</b>"]
    assert not any(ord(char) < 32 or 0x7F <= ord(char) < 0xA0 or char == "\u202e" for line in lines for char in line)
    assert output.get_by_text("red", exact=True).evaluate("each => each.style.color") == "var(--c1)"
    assert output.locator("a").count() == 0
    assert page.title() != "title"
    unharmed(page)
    raw = httpx.get(
        f"{dashboard.grid.url}/v1/jobs/{job}/stdout", headers={"Authorization": f"Bearer {dashboard.grid.token}"}
    )
    assert raw.text == ESCAPES


def test_hostile_48_an_escape_that_is_cut_apart_is_still_none(dashboard: Dashboard) -> None:
    page = dashboard.open("/jobs")
    pieces = page.evaluate(
        """async () => {
          const app = document.querySelector("script[type=module]").src;
          const { Terminal } = await import(app.replace("app.js", "terminal.js"));
          const whole = "a\\x1b[31mred\\x1b[0m\\x1b]0;hidden\\x07b\\x1b[1mc";
          const shown = new Set();
          for (let cut = 0; cut <= whole.length; cut += 1) {
            const terminal = new Terminal(document.createElement("div"));
            for (const piece of [whole.slice(0, cut), whole.slice(cut)]) {
              terminal.write(piece);
              terminal.flush();
            }
            shown.add(terminal.element.textContent);
          }
          return [...shown];
        }"""
    )
    assert pieces == ["aredbc"]


@pytest.mark.parametrize("where", ["/", "/jobs", "/jobs/{job}", "/workers", "/new?from={job}"])
def test_hostile_49_html_is_shown_as_it_was_written(dashboard: Dashboard, where: str) -> None:
    job = submit(dashboard.grid, **prints(f"{HTML}\n", name=HTML, args=[HTML], env={"HTML": HTML}))
    page = dashboard.open(where.format(job=job))
    expect(page.get_by_role("heading", level=1).first).to_be_visible()
    if where != "/workers":
        named = page.locator(f"text={HTML[:20]}").first if "?" not in where else page.locator("input[name=name]")
        expect(named).to_be_visible()
    if where == "/jobs/{job}":
        dashboard.sees(page.get_by_role("log", name="Output"), HTML)
        dashboard.sees(page.get_by_role("region", name="Copy as"), "onerror")
        assert HTML[:20] in page.title()
    unharmed(page)


def test_hostile_49_html_in_diagnostics_traps_and_names_of_files(dashboard: Dashboard) -> None:
    source = {"files": {"<img src=x onerror=pwned=1>.c": f"#error {HTML}\n"}, "language": "c"}
    built = submit(dashboard.grid, source=source)
    page = dashboard.open(f"/jobs/{built}")
    dashboard.sees(page.get_by_role("region", name="Diagnostics"), "onerror")
    unharmed(page)
    trapped = submit(dashboard.grid, source={"files": {"t.wat": programs.TRAP}}, name=HTML)
    dashboard.open(f"/jobs/{trapped}")
    dashboard.sees(page.get_by_role("log", name="Output"), "unreachable")
    unharmed(page)


def test_hostile_49_the_policy_lets_nothing_of_a_page_run(dashboard: Dashboard) -> None:
    answer = httpx.get(f"{dashboard.grid.url}/jobs")
    policy = dict(part.strip().partition(" ")[::2] for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    other = httpx.get(f"{dashboard.grid.url}/jobs").headers["content-security-policy"]
    assert other != answer.headers["content-security-policy"]  # a nonce is used once


def test_hostile_49_no_string_becomes_a_part_of_a_page(browser: Browser, grid: Grid, signed_in: Path) -> None:
    with browser.new_context(base_url=grid.url, storage_state=signed_in) as context:
        page = context.new_page()
        page.goto("/jobs")
        expect(page.get_by_role("heading", name="Jobs", exact=True)).to_be_visible()
        direct = "(() => { try { document.body.innerHTML = '<p>'; return 'done' } catch { return 'refused' } })()"
        assert page.evaluate(direct) == "refused"


def test_hostile_49_what_is_copied_is_words_for_a_shell_and_for_python(dashboard: Dashboard) -> None:
    words = [
        "it's",
        "$(touch pwned)",
        "`touch pwned`",
        "\x03\nrm -rf x\n",
        "\x1b[201~",
        "a\\nb",
        "-s",
        "\u202etxt.exe",
        "",
        '"q"',
    ]
    page = dashboard.open("/jobs")
    spec = {"args": words, "name": "\x03'\n", "env": {"K": "'\n;"}}
    made = page.evaluate(
        """async ([spec, file]) => {
          const app = document.querySelector("script[type=module]").src;
          const { asCli, asCurl, asPython } = await import(app.replace("app.js", "copyas.js"));
          return [asCli, asCurl, asPython].map((way) => way(spec, { files: [file], entry: file }));
        }""",
        [spec, "-x'.c"],
    )
    bash = ["bash", "-c", 'wasmgrid() { printf "%s\\0" "$@"; }; curl() { wasmgrid "$@"; }; eval "$1"', "bash"]
    taken = [subprocess.run([*bash, each], capture_output=True, text=True, check=True).stdout for each in made[:2]]
    cli, curl = ([*each.split("\0")][:-1] for each in taken)
    assert cli[:2] == ["run", "./-x'.c"]
    assert cli[cli.index("--") + 1 :] == words
    assert cli[cli.index("--job-name") + 1] == spec["name"]
    assert json.loads(next(each for each in curl if each.startswith("spec=")).removeprefix("spec=")) == spec
    call = ast.parse(made[2]).body[1].body[0].value
    assert {each.arg: ast.literal_eval(each.value) for each in call.keywords} == spec
    assert not any(ord(char) < 32 and char != "\n" for each in made for char in each)
    assert not any("\u202e" in each for each in made)
