"""A program is written in the page, runs, and is seen: the page that sells the product in ten seconds."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect
from tests.web.pages import Dashboard

from wasmgrid.server.dashboard.assets import STATIC

TICKS_RS = """use std::io::{stdout, Write};
fn main() {
    for tick in 0.. {
        println!("tick {tick}");
        stdout().flush().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
"""
WORDS_CPP = """#include <iostream>
#include <string>
int main(int count, char **words) {
    for (int i = 1; i < count; i++) std::cout << "word: " << words[i] << std::endl;
    std::string line;
    while (std::getline(std::cin, line)) std::cout << "line: " << line << std::endl;
}
"""
BROKEN_C = "#include <stdio.h>\nint main(void) {\n  return nothing_of_this_name;\n}\n"


def test_the_starter_runs_at_the_first_press(dashboard: Dashboard) -> None:
    page = dashboard.open("/new")
    expect(page.get_by_role("textbox", name="Source of the program")).to_contain_text("Mandelbrot")
    dashboard.run()
    dashboard.sees(dashboard.output, "points in WebAssembly")
    dashboard.sees(dashboard.pane, "succeeded")
    dashboard.sees(dashboard.pane, "compile")
    coloured = page.locator(".terminal span").first
    assert "rgb(" in str(coloured.evaluate("each => getComputedStyle(each).backgroundColor"))


def test_rust_output_arrives_while_it_runs_and_cancel_ends_it(dashboard: Dashboard) -> None:
    dashboard.write(TICKS_RS)
    dashboard.page.keyboard.press("ControlOrMeta+Enter")
    dashboard.sees(dashboard.output, "tick 3")
    dashboard.sees(dashboard.pane, "running")
    dashboard.page.get_by_role("button", name="Cancel").click()
    dashboard.sees(dashboard.pane, "cancelled")
    assert dashboard.grid.wait_state(dashboard.job_id(), "cancelled").state == "cancelled"


def test_cpp_is_guessed_and_gets_its_arguments_and_its_input(dashboard: Dashboard) -> None:
    dashboard.write(WORDS_CPP, name="words")
    page = dashboard.page
    expect(page.get_by_label("Language")).to_contain_text("Auto: C++")
    page.get_by_label("Arguments").fill("one 'two words'")
    page.get_by_label("Standard input").fill("first\nsecond\n")
    page.get_by_label("Memory, exact cap").fill("64")
    expect(page.get_by_role("region", name="Copy as")).to_contain_text("--memory-mb 64 --stdin - -- one 'two words'")
    page.get_by_label("File name").fill("words.cpp")
    dashboard.run()
    for said in ("word: one", "word: two words", "line: first", "line: second"):
        dashboard.sees(dashboard.output, said)
    job = dashboard.grid.wait_state(dashboard.job_id(), "succeeded")
    assert (job.spec.memory_mb, job.spec.args) == (64, ["one", "two words"])
    assert job.build is not None
    assert job.build.language == "cpp"


def test_what_the_compiler_says_stands_at_its_line(dashboard: Dashboard) -> None:
    dashboard.write(BROKEN_C, name="broken.c")
    dashboard.run()
    dashboard.sees(dashboard.output, "nothing_of_this_name")
    dashboard.sees(dashboard.pane, "failed")
    mark = dashboard.page.locator(".cm-lintRange-error")
    expect(mark).to_have_text("nothing_of_this_name")


def test_what_cannot_be_is_said_at_its_field_with_a_hint(dashboard: Dashboard) -> None:
    dashboard.write(BROKEN_C)
    page = dashboard.page
    page.get_by_label("CPUs", exact=False).first.fill("0")
    dashboard.run()
    expect(page.get_by_role("alert")).to_contain_text("cpus must be over 0")
    expect(page.locator("input[name=cpus]")).to_have_attribute("aria-invalid", "true")
    page.locator("input[name=cpus]").fill("1")
    page.get_by_label("Arguments").fill("it's")
    dashboard.run()
    expect(page.locator(".settings")).to_contain_text("a ' is not closed")


def test_a_plain_function_gives_its_value(dashboard: Dashboard) -> None:
    page = dashboard.open("/new?starter=add.rs")
    expect(page.get_by_label("Call a function")).to_have_value("add")
    dashboard.run()
    dashboard.sees(dashboard.output, "5")
    dashboard.sees(dashboard.pane, "succeeded")


def test_files_are_opened_and_a_ready_module_runs(dashboard: Dashboard, tmp_path: Path) -> None:
    (tmp_path / "main.c").write_text('#include "greet.h"\nint main(void) { greet(); return 0; }\n')
    (tmp_path / "greet.h").write_text('#include <stdio.h>\nstatic void greet(void) { puts("from two files"); }\n')
    page = dashboard.open("/new")
    expect(page.get_by_role("textbox", name="Source of the program")).to_contain_text("fn main")
    page.locator("input[type=file]").set_input_files([tmp_path / "main.c", tmp_path / "greet.h"])
    expect(page.get_by_role("tab", name="greet.h")).to_be_visible()
    dashboard.run()
    dashboard.sees(dashboard.output, "from two files")
    job = dashboard.job_id()
    dashboard.grid.run("wasm", str(job), "-o", tmp_path / "ready.wasm")
    page.locator("input[type=file]").set_input_files(tmp_path / "ready.wasm")
    expect(page.get_by_role("heading", name="ready.wasm")).to_be_visible()
    dashboard.run()
    expect(dashboard.pane.get_by_role("link").first).not_to_have_text(f"job {job}")
    dashboard.sees(dashboard.output, "from two files")


def test_a_job_is_edited_and_run_again(dashboard: Dashboard) -> None:
    file = dashboard.grid.file("again.c", '#include <stdio.h>\nint main(void) { puts("the first"); return 0; }\n')
    dashboard.grid.text("run", file, "--memory-mb", "77", "--job-name", "to be edited")
    job = dashboard.grid.text("jobs", "--json").split('"id":')[1].split(",")[0]
    page = dashboard.open(f"/jobs/{job}")
    page.get_by_role("link", name="Edit").click()
    editor = page.get_by_role("textbox", name="Source of the program")
    expect(editor).to_contain_text("the first")
    expect(page.locator("input[name=memory_mb]")).to_have_value("77")
    expect(page.locator("input[name=name]")).to_have_value("to be edited")
    editor.click()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.insert_text('#include <stdio.h>\nint main(void) { puts("the second"); return 0; }\n')
    dashboard.run()
    dashboard.sees(dashboard.output, "the second")
    assert dashboard.grid.wait_state(dashboard.job_id(), "succeeded").spec.memory_mb == 77


def test_a_file_that_is_no_text_goes_along_as_it_is(dashboard: Dashboard, tmp_path: Path) -> None:
    picture = bytes(range(256))
    (tmp_path / "main.c").write_text("int main(void) { return 0; }\n")
    (tmp_path / "picture.dat").write_bytes(picture)
    page = dashboard.open("/new")
    expect(page.get_by_role("textbox", name="Source of the program")).to_contain_text("fn main")
    page.locator("input[type=file]").set_input_files([tmp_path / "main.c", tmp_path / "picture.dat"])
    page.get_by_role("tab", name="picture.dat").click()
    expect(page.get_by_text("These bytes are no text")).to_be_visible()
    dashboard.run()
    first = dashboard.job_id()
    page.goto(f"{dashboard.grid.url}/new?from={first}")
    expect(page.get_by_role("tab", name="picture.dat")).to_be_visible()
    dashboard.run()
    second = dashboard.job_id()
    assert second != first
    headers = {"Authorization": f"Bearer {dashboard.grid.token}"}
    for job in (first, second):
        source = httpx.get(f"{dashboard.grid.url}/v1/jobs/{job}/source", headers=headers).json()
        assert base64.b64decode(source["files"]["picture.dat"]["base64"]) == picture


STARTERS = sorted(path.name.removesuffix(".txt") for path in (STATIC / "starters").iterdir())


def test_every_starter_is_offered() -> None:
    listed = re.findall(r'file: "([^"]+)"', (STATIC / "js" / "starters.js").read_text())
    assert sorted(listed) == STARTERS


@pytest.mark.parametrize("name", STARTERS)
def test_every_starter_runs(dashboard: Dashboard, name: str) -> None:
    page = dashboard.open(f"/new?starter={name}")
    expect(page.get_by_label("File name")).to_have_value(name)
    expect(page.get_by_text(re.compile(r"^MB of "))).to_be_visible()  # what this grid has is known
    if page.get_by_text("No worker here can build").count():
        pytest.skip(f"nothing here builds {name}")
    dashboard.run()
    expect(dashboard.pane.locator(".badge")).to_have_text(re.compile("succeeded|failed"))
    dashboard.sees(dashboard.pane, "succeeded")
    expect(dashboard.output).not_to_be_empty()
