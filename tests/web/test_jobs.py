"""Jobs, one job, an array: what was asked for, what came, what can be done about it."""

from __future__ import annotations

import json
import re
import shlex

import httpx
import pytest
from playwright.sync_api import expect
from tests.e2e import programs
from tests.e2e.grid import Grid
from tests.web.pages import Dashboard

MIXED_C = """#include <stdio.h>
#include <stdlib.h>
int main(void) {
  int index = atoi(getenv("WASMGRID_TASK_INDEX"));
  printf("this is task %d\\n", index);
  if (index % 10 == 3) abort();
  return index % 10 == 7 ? 5 : 0;
}
"""


def submit(grid: Grid, name: str, text: str, *flags: str) -> int:
    """A job of this source."""
    return int(grid.text("submit", grid.file(name, text), "--job-name", name, *flags).strip())


@pytest.fixture(scope="module")
def array(grid: Grid) -> int:
    """A job of 100 tasks of which ten trap and ten exit with 5."""
    job = submit(grid, "mixed.c", MIXED_C, "--array", "0-99")
    grid.wait_state(job, "failed")
    return job


def test_a_job_shows_its_output_source_way_and_statistics(dashboard: Dashboard) -> None:
    job = submit(dashboard.grid, "kitchen.c", programs.KITCHEN_C, "--env", "COLOUR=green")
    dashboard.grid.wait_state(job, "failed")
    page = dashboard.open(f"/jobs/{job}")
    expect(page.get_by_role("heading", level=1)).to_contain_text("kitchen.c")
    dashboard.sees(page.get_by_role("log", name="Output"), "env: green")
    dashboard.sees(page.get_by_role("log", name="Output"), "on stderr")
    dashboard.sees(page.get_by_role("region", name="Source"), "static void show")
    assert page.locator(".viewer .cm-line span[class]").count() > 10  # it is highlighted
    dashboard.sees(page.get_by_role("region", name="Timeline"), "ms")
    dashboard.sees(page.get_by_role("region", name="Statistics"), "w1")
    expect(page.get_by_role("link", name="result.txt")).to_be_visible()
    with page.expect_download() as module:
        page.get_by_role("link", name=".wasm").click()
    assert module.value.path().read_bytes().startswith(b"\0asm")
    expect(page.get_by_text("exit code 7").first).to_be_visible()


def test_pages_are_the_same_after_a_reload_and_have_their_data_as_json(dashboard: Dashboard, array: int) -> None:
    page = dashboard.open("/jobs?state=failed&search=mixed")
    link = page.get_by_role("link", name=f"{array} mixed.c")
    expect(link).to_be_visible()
    link.click()
    expect(page.get_by_role("heading", name="100 tasks")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="100 tasks")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("button", name="failed")).to_have_attribute("aria-pressed", "true")
    headers = {"Authorization": f"Bearer {dashboard.grid.token}"}
    with httpx.Client(base_url=dashboard.grid.url, headers=headers) as http:
        paths = ["/overview", "/jobs", f"/jobs/{array}", "/jobs/last", "/workers", "/toolchains", "/new"]
        answers = {path: http.get(f"{path}.json") for path in paths}
        assert {answer.status_code for answer in answers.values()} == {200}
        assert answers[f"/jobs/{array}"].json()["job"]["id"] == array
        assert http.get("/jobs.json", params={"state": "failed"}).json()["jobs"]
        assert http.get("/jobs.json", headers={"Authorization": ""}).status_code == 401


def test_the_list_is_filtered_searched_and_turned(dashboard: Dashboard, array: int) -> None:
    names = [f"paged-{number}" for number in range(27)]
    specs = json.dumps([{"source": {"files": {"a.wat": programs.exits(0)}}, "name": name} for name in names])
    headers = {"Authorization": f"Bearer {dashboard.grid.token}", "Content-Type": "application/json"}
    httpx.post(f"{dashboard.grid.url}/v1/jobs:batch?wait=60", content=specs, headers=headers, timeout=90)
    page = dashboard.open("/jobs")
    page.get_by_label("Search by name or number").fill("paged-")
    expect(page).to_have_url(re.compile("search=paged-"))
    expect(page.get_by_role("link", name="mixed.c")).to_have_count(0)
    expect(page.get_by_role("row")).to_have_count(26)  # 25 and the head
    page.get_by_role("link", name="More jobs").click()
    expect(page.get_by_role("row")).to_have_count(3)
    page.get_by_role("button", name="Back").click()
    expect(page.get_by_role("row")).to_have_count(26)
    page.get_by_label("Search by name or number").fill("mixed")
    expect(page.get_by_role("link", name=f"{array} mixed.c")).to_be_visible()
    page.get_by_role("button", name="succeeded").click()
    expect(page.get_by_text("No job is like that")).to_be_visible()


def test_an_array_is_a_heat_map_whose_tasks_can_be_looked_at(dashboard: Dashboard, array: int) -> None:
    page = dashboard.open(f"/jobs/{array}")
    told = page.locator(".heat-told")
    expect(told).to_contain_text("task 0: succeeded")
    canvas = page.get_by_role("slider", name="Task")
    colours = canvas.evaluate(  # how many different ones
        """canvas => { const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
        const found = new Set(); for (let at = 0; at < pixels.length; at += 4)
        found.add(pixels.slice(at, at + 4).join());
        return found.size; }"""
    )
    assert colours > 3  # states, durations, nothing
    canvas.click(position={"x": 3 * 22 + 10, "y": 10})
    expect(told).to_contain_text("task 3: failed")
    dashboard.sees(page.get_by_role("log", name="Output of task 3"), "this is task 3")
    dashboard.sees(page.get_by_role("log", name="Output of task 3"), "unreachable")
    canvas.press("ArrowRight")
    dashboard.sees(page.get_by_role("log", name="Output of task 4"), "this is task 4")
    failures = page.get_by_role("region", name="Failures")
    dashboard.sees(failures, "10 trapped")
    dashboard.sees(failures, "10 exited")
    failures.get_by_role("button", name="7", exact=True).click()
    dashboard.sees(page.get_by_role("log", name="Output of task 7"), "this is task 7")
    assert page.locator(".histogram i").count() > 1


def test_the_failed_tasks_alone_are_run_again(dashboard: Dashboard, array: int) -> None:
    page = dashboard.open(f"/jobs/{array}")
    page.get_by_role("button", name="Run the failed again").click()
    expect(page.get_by_role("heading", name="20 tasks")).to_be_visible()
    expect(page).to_have_url(re.compile(rf"/jobs/(?!{array}$)\d+$"))


def test_a_job_that_waits_says_why_and_can_be_cancelled(dashboard: Dashboard) -> None:
    job = submit(dashboard.grid, "hello.wat", programs.exits(0), "--gpus", "3")
    page = dashboard.open(f"/jobs/{job}")
    dashboard.sees(page.locator(".why"), "needs 3 gpus")
    dashboard.sees(page.locator(".why"), "--gpus 0")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".job-head .badge")).to_have_text("cancelled")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page).to_have_url(re.compile("/jobs$"))
    page.goto(f"{dashboard.grid.url}/jobs/{job}")
    expect(page.get_by_role("alert")).to_contain_text(f"no job {job}")


def test_output_follows_a_job_that_somebody_else_submitted(dashboard: Dashboard) -> None:
    job = submit(dashboard.grid, "ticks.wat", programs.TICKS)
    page = dashboard.open(f"/jobs/{job}")
    dashboard.sees(page.get_by_role("log", name="Output"), "tick")
    dashboard.grid.text("cancel", str(job))
    expect(page.locator(".job-head .badge")).to_have_text("cancelled")


def test_a_job_is_copied_as_what_runs_it_again(dashboard: Dashboard) -> None:
    job = submit(dashboard.grid, "copied.c", programs.HELLO_C, "--memory-mb", "99", "--", "it's")
    dashboard.grid.wait_state(job, "succeeded")
    page = dashboard.open(f"/jobs/{job}")
    card = page.get_by_role("region", name="Copy as")
    expect(card).to_contain_text("wasmgrid run copied.c")
    words = card.locator("pre").text_content() or ""
    done = dashboard.grid.run(*shlex.split(words)[1:])
    assert done.stdout == b"hello from C\n"
    card.get_by_role("tab", name="Python").click()
    assert "memory_mb=99" in (card.locator("pre").text_content() or "")
    compile(card.locator("pre").text_content() or "", "copied", "exec")
    card.get_by_role("tab", name="curl").click()
    assert "-F 'file=@copied.c;filename=copied.c'" in (card.locator("pre").text_content() or "")


def test_of_a_very_long_output_the_end_is_shown_and_the_rest_counted(dashboard: Dashboard) -> None:
    lines = (
        '#include <stdio.h>\nint main(void) { for (int i = 0; i < 60000; i++) printf("line %d\\n", i); return 0; }\n'
    )
    job = submit(dashboard.grid, "long.c", lines)
    dashboard.grid.wait_state(job, "succeeded")
    page = dashboard.open(f"/jobs/{job}")
    output = page.get_by_role("log", name="Output")
    expect(output.locator(".line").last).to_have_text("line 59999")
    expect(output.locator(".line").first).to_contain_text("55,000 lines before these")
    assert output.evaluate("each => each.scrollHeight - each.scrollTop - each.clientHeight") < 40  # it follows
