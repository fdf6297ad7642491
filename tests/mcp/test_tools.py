"""What an agent can do, through the official client over a real pipe at a real grid."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from tests.e2e.grid import Grid
from tests.mcp.conftest import Agent, talking
from tests.mcp.programs import GCD, SPINNING, TRAPPING, printing

from wasmgrid.build.toolchains import LANGUAGES

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_tools_say_what_they_take_give_and_change(agent: Agent) -> None:
    tools = {tool.name: tool for tool in agent.portal.call(agent.client.list_tools).tools}
    assert set(tools) == {
        *("run_code", "run_function", "list_languages", "list_jobs", "get_job", "cancel_job"),
        *("read_output", "read_artifact"),
    }
    for name, tool in tools.items():
        assert tool.description
        assert tool.input_schema["type"] == "object"
        assert tool.input_schema["additionalProperties"] is False
        assert tool.output_schema is not None
        assert tool.annotations is not None
        assert tool.annotations.read_only_hint is (name not in {"run_code", "run_function", "cancel_job"})
        assert tool.annotations.destructive_hint is (name == "cancel_job")
        assert tool.annotations.open_world_hint is False


def ready(agent: Agent) -> set[str]:
    return {each["language"] for each in agent.call("list_languages")["languages"] if each["ready"]}


@pytest.mark.parametrize("language", [name for name, each in LANGUAGES.items() if each.hello])
def test_a_program_of_any_language_runs_without_being_told_which(agent: Agent, language: str) -> None:
    if language not in ready(agent):
        pytest.skip(f"no toolchain for {language} on this machine: wasmgrid toolchain install {language}")
    source = next(iter(LANGUAGES[language].hello.values()))
    answer = agent.call("run_code", source=source)
    assert (answer["state"], answer["exit_code"], answer["stdout"].strip()) == ("succeeded", 0, "hello")
    assert answer["cost"]["wall_ms"] >= 0


def test_a_program_gets_what_was_given_to_it(agent: Agent) -> None:
    if "c" not in ready(agent):
        pytest.skip("no toolchain for c on this machine: wasmgrid toolchain install c")
    source = r"""
        #include <stdio.h>
        #include <stdlib.h>
        int main(int argc, char **argv) {
            char line[100], data[100];
            fgets(line, sizeof line, stdin);
            fgets(data, sizeof data, fopen("/in/some/data.csv", "r"));
            printf("%s|%s|%s|%s", argv[1], getenv("MODE"), line, data);
            FILE *left = fopen("/out/left.txt", "w");
            fprintf(left, "left behind");
            return 7;
        }"""
    answer = agent.failure(
        "run_code",
        source=source,
        args=["an argument"],
        env={"MODE": "fast"},
        stdin='{"looks": "like JSON"}',
        files={"some/data.csv": "1,2"},
    )
    assert answer["stdout"] == 'an argument|fast|{"looks": "like JSON"}|1,2'
    assert (answer["state"], answer["outcome"], answer["exit_code"]) == ("failed", "exited", 7)
    assert answer["artifacts"] == [{"path": "left.txt", "bytes": 11}]
    left = agent.call("read_artifact", job_id=answer["job_id"], path="left.txt", offset=5)
    assert left == {"offset": 5, "bytes": 6, "text": "behind"}


def test_a_project_of_several_files_is_one_program(agent: Agent) -> None:
    if "c" not in ready(agent):
        pytest.skip("no toolchain for c on this machine: wasmgrid toolchain install c")
    files = {
        "main.c": '#include "two.h"\n#include <stdio.h>\nint main(void) { printf("%d", TWO); }',
        "two.h": "#define TWO 2",
    }
    assert agent.call("run_code", project=files)["stdout"] == "2"


def test_a_picture_comes_as_a_picture(agent: Agent) -> None:
    if "rust" not in ready(agent):
        pytest.skip("no toolchain for rust on this machine: wasmgrid toolchain install rust")
    answer = agent.call("run_code", source=(EXAMPLES / "mandelbrot.rs").read_text(encoding="utf-8"))
    result = agent.result("read_artifact", job_id=answer["job_id"], path="mandelbrot.png")
    assert (result.content[0].type, result.content[0].mime_type) == ("image", "image/png")
    assert len(base64.b64decode(result.content[0].data)) == answer["artifacts"][0]["bytes"]
    assert "base64" not in result.structured_content


def test_a_function_is_called_for_every_input(agent: Agent) -> None:
    answer = agent.call("run_function", source=GCD, function="gcd", inputs=[[1071, 462], [48, 36], [7, 5]])
    assert answer["results"] == [{"index": 0, "value": 21}, {"index": 1, "value": 12}, {"index": 2, "value": 1}]
    assert answer["counts"] == {"succeeded": 3}


def test_a_call_that_fails_keeps_no_other_from_its_value(agent: Agent) -> None:
    answer = agent.failure("run_function", source=TRAPPING, function="inverse", inputs=[5, 0, 50])
    assert [each.get("value") for each in answer["results"]] == [20, None, 2]
    assert answer["results"][1]["outcome"] == "trapped"
    assert answer["counts"] == {"succeeded": 2, "failed": 1}


def test_many_results_are_bounded_and_say_so(agent: Agent) -> None:
    answer = agent.call("run_function", source=GCD, function="gcd", inputs=[[10**15 + n, 0] for n in range(5000)])
    shown = answer["results"]
    assert 0 < len(shown) < 5000
    assert answer["results_left_out"] == 5000 - len(shown)
    assert [each["value"] for each in shown] == [10**15 + n for n in range(len(shown))]
    assert "fewer inputs" in answer["hint"]


def test_what_does_not_compile_comes_back_with_the_compilers_words(agent: Agent) -> None:
    answer = agent.failure("run_code", source="(module (func (export)))", language="wat")
    assert (answer["state"], answer["outcome"]) == ("failed", "build_failed")
    assert "expected" in answer["diagnostics"]
    assert "diagnostics" in answer["hint"]


def test_output_is_bounded_and_the_rest_can_be_read(agent: Agent) -> None:
    text = "0123456789é" * 5000
    answer = agent.call("run_code", source=printing(text), language="wat")
    assert answer["stdout_truncated"]
    assert answer["stdout_bytes"] == len(text.encode())
    assert text.startswith(answer["stdout"])
    pieces: list[str] = []
    offset: int | None = 0
    while offset is not None:
        piece = agent.call("read_output", job_id=answer["job_id"], offset=offset)
        pieces.append(piece["text"])
        offset = piece.get("next_offset")
    assert len(pieces) > 1
    assert "".join(pieces) == text


def test_hostile_48_what_a_program_writes_steers_no_terminal_of_an_agent(agent: Agent) -> None:
    result = agent.result("run_code", source=printing("\x1b[31mred\x1b]0;title\x07\x9b2J\u202e"), language="wat")
    assert result.structured_content["stdout"] == r"\x1b[31mred\x1b]0;title\x07\x9b2J\u202e"
    assert not {"\x1b", "\x9b", "\u202e"} & set(result.content[0].text)
    assert "\\u001b" not in result.content[0].text


def test_what_takes_longer_than_the_wait_goes_on_until_it_is_cancelled(agent: Agent) -> None:
    answer = agent.call("run_code", source=SPINNING, language="wat", time_limit_s=200, wait_s=0.2)
    job_id = answer["job_id"]
    assert answer["state"] in {"building", "queued", "running"}
    assert f"get_job with job_id {job_id}" in answer["hint"]
    assert job_id in [each["job_id"] for each in agent.call("list_jobs")["jobs"]]
    assert agent.call("get_job", job_id=job_id)["state"] in {"building", "queued", "running"}
    assert agent.failure("cancel_job", job_id=job_id)["state"] == "cancelled"
    assert agent.failure("get_job", job_id=job_id, wait_s=30)["outcome"] == "cancelled"


def test_a_time_limit_ends_a_program_and_says_what_to_do(agent: Agent) -> None:
    answer = agent.failure("run_code", source=SPINNING, language="wat", time_limit_s="0.3")
    assert answer["outcome"] == "timed_out"
    assert "time_limit_s" in answer["hint"]


@pytest.mark.parametrize(
    ("tool", "arguments", "code", "said"),
    [
        ("run_code", {"source": "x", "timeout": 5}, "invalid_field", "unknown field `timeout`"),
        ("run_code", {"source": "x", "memory_mb": "much"}, "invalid_field", "memory_mb"),
        ("run_code", {"source": SPINNING, "time_limit_s": 301}, "invalid_field", "at most 300 seconds"),
        ("run_code", {"source": SPINNING, "memory_mb": 2049}, "invalid_field", "at most 2048 MB"),
        ("run_code", {}, "invalid_field", "`source` or as `project`"),
        ("run_code", {"source": "x", "project": {"a.c": ""}}, "invalid_field", "one of them"),
        ("run_code", {"source": "x", "language": "cobol"}, "language_unknown", "cobol"),
        ("run_code", {"source": "what is this?"}, "language_unknown", "tells its language"),
        ("run_code", {"project": {"../a.c": "int main(){}"}}, "invalid_path", "../a.c"),
        ("run_code", {"source": SPINNING, "files": {"../../etc/x": ""}}, "invalid_path", ".."),
        ("run_function", {"source": GCD, "function": "gcd"}, "invalid_field", "inputs"),
        ("get_job", {"job_id": 10**9}, "job_not_found", "none of this session's"),
        ("make_coffee", {}, "invalid_field", "make_coffee"),
    ],
)
def test_a_request_that_cannot_be_met_says_why(
    agent: Agent, tool: str, arguments: dict[str, object], code: str, said: str
) -> None:
    failure = agent.failure(tool, **arguments)
    assert failure["error"] == code
    assert said in failure["message"]


@pytest.mark.parametrize(
    "path", ["../../1", "../stdout", "a/../../../workers", "..", "/etc/passwd", "%2e%2e/1", "nothing"]
)
def test_a_path_leads_to_the_jobs_own_artifacts_only(agent: Agent, path: str) -> None:
    job_id = agent.call("run_code", source=printing("x"), language="wat")["job_id"]
    assert agent.failure("read_artifact", job_id=job_id, path=path)["error"] in {"invalid_path", "not_found"}


def test_jobs_of_others_are_seen_only_where_that_was_allowed(agent: Agent, grid: Grid) -> None:
    (grid.directory / "others.wat").write_text(printing("a secret"))
    job_id = int(grid.text("submit", "others.wat"))
    grid.text("wait", str(job_id))
    for tool in ("get_job", "read_output", "cancel_job"):
        assert agent.failure(tool, job_id=job_id)["error"] == "job_not_found"
    assert job_id not in [each["job_id"] for each in agent.call("list_jobs")["jobs"]]
    with talking(grid, "--all-jobs") as trusted:
        assert trusted.call("read_output", job_id=job_id)["text"] == "a secret"
        assert job_id in [each["job_id"] for each in trusted.call("list_jobs")["jobs"]]
