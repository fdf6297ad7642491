"""Guests that are interpreters: what programs see, and what hostile ones do not; calls that share one interpreter."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from tests.runner import scripts
from tests.runner.bench import Bench, Ran, file_input
from tests.runner.test_calls import values

from wasmgrid.core.outcome import OutcomeKind
from wasmgrid.worker.task import RunnerReport

pytestmark = pytest.mark.timeout(240)
_jobs = itertools.count(100_000)


@pytest.fixture
def run(bench: Bench) -> Any:
    """`run(text, *args, suffix, **limits)`: a program to its end."""
    scripts.know_interpreters(bench)

    def go(text: str, *args: str, suffix: str = "py", **rest: Any) -> RunnerReport:
        return bench.run(scripts.made({f"job.{suffix}": text}), args=list(args), **rest)

    return go


@pytest.fixture
def call(bench: Bench) -> Any:
    """`call(files, function, *arguments)`: calls with these arguments, in order."""
    scripts.know_interpreters(bench)

    def go(files: dict[str, str], function: str, *calls: str, **rest: Any) -> Ran:
        text = "\n".join(calls).encode()
        given = {"job_id": next(_jobs), "first": 0, "count": len(calls), "lines": text, "use": "call", **rest}
        return bench.run_all(scripts.made(files, function=function), function=function, **given)

    return go


def said(report: RunnerReport) -> tuple[int | None, str]:
    """Its exit code and what it printed."""
    return report.outcome.exit_code, report.stdout.data.decode()


def test_a_program_has_its_arguments_stdin_and_variables(run: Any) -> None:
    python = "import os, sys\nprint(sys.argv, sys.stdin.read(), dict(os.environ), __name__)\n"
    assert said(run(python, "é", "--x", stdin=b"in", env={"A": "b"})) == (
        0,
        "['/src/job.py', 'é', '--x'] in {'A': 'b'} __main__\n",
    )
    script = (
        'import * as std from "qjs:std";\nconsole.log(process.argv.slice(2), std.in.readAsString(), process.env);\n'
    )
    assert said(run(script, "é", "--x", suffix="js", stdin=b"in", env={"A": "b"})) == (0, '["é","--x"] in {"A":"b"}\n')


def test_modules_of_the_project_and_data_beside_them(bench: Bench) -> None:
    scripts.know_interpreters(bench)
    files = {
        "main.py": "import pkg.part\nprint(pkg.part.X, open(__file__.replace('main.py', 'data.txt')).read())\n",
        "pkg/__init__.py": "",
        "pkg/part.py": "from . import other\nX = other.Y\n",
        "pkg/other.py": "Y = 7\n",
        "data.txt": "data",
    }
    assert said(bench.run(scripts.made(files))) == (0, "7 data\n")
    files = {"main.js": 'import { y } from "./lib/part.js";\nconsole.log(y);\n', "lib/part.js": "export const y = 7;\n"}
    assert said(bench.run(scripts.made(files))) == (0, "7\n")


def test_inputs_and_artifacts(bench: Bench, run: Any, tmp_path: Any) -> None:
    blob = tmp_path / "blob"
    blob.write_bytes(b"data")
    text = "open('/out/made.txt', 'w').write(open('/in/data.txt').read() * 2)\n"
    report = run(text, inputs=[(file_input("/in/data.txt"), blob)])
    assert [(file.path, file.bytes) for file in report.artifacts] == [("made.txt", 8)]


@pytest.mark.parametrize("code", [0, 1, 42, 126, 255])
def test_exit_codes_pass_through(run: Any, code: int) -> None:
    assert said(run(f"import sys\nsys.exit({code})\n"))[0] == code
    assert said(run(f"process.exit({code});\n", suffix="js"))[0] == code


def test_a_backtrace_names_the_file_and_its_lines_only(run: Any) -> None:
    report = run("def f():\n    raise ValueError('no')\n\nf()\n")
    assert report.outcome.exit_code == 1
    assert report.stderr.data.decode() == (
        "Traceback (most recent call last):\n"
        '  File "/src/job.py", line 4, in <module>\n    f()\n'
        "  File \"/src/job.py\", line 2, in f\n    raise ValueError('no')\nValueError: no\n"
    )
    report = run("function f() {\n  throw new Error('no');\n}\nf();\n", suffix="js")
    assert "at f (/src/job.js:2:" in report.stderr.data.decode()
    assert "wasmgrid" not in report.stderr.data.decode()


@pytest.mark.parametrize(
    ("text", "suffix"),
    [("while True: pass\n", "py"), ("for (;;);\n", "js"), ("import time\ntime.sleep(100)\n", "py")],
)
def test_an_endless_program_is_stopped(run: Any, text: str, suffix: str) -> None:
    assert run(text, suffix=suffix, wall_s=0.5).outcome.kind is OutcomeKind.TIMED_OUT


@pytest.mark.parametrize(
    ("text", "suffix"),
    [
        ("x = []\nwhile True: x.append(bytearray(1 << 20))\n", "py"),
        ("x = bytearray(1 << 30)\n", "py"),
        ("const x = []; for (;;) x.push(new Uint8Array(1 << 20));\n", "js"),
    ],
)
def test_a_memory_bomb_meets_its_own_limit(run: Any, text: str, suffix: str) -> None:
    report = run(text, suffix=suffix, memory_mb=48)
    assert report.outcome.kind is OutcomeKind.OUT_OF_MEMORY, report
    assert report.stats.peak_memory_bytes <= 48 << 20


def test_less_memory_than_the_interpreter_begins_with_is_told(run: Any) -> None:
    report = run("print(1)\n", memory_mb=8)
    assert report.outcome.kind is OutcomeKind.REJECTED
    assert report.outcome.message == "it begins with 10 MB of memory, and memory_mb is 8; ask for more than that"
    assert said(run("print(1)\n", memory_mb=12)) == (0, "1\n")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("open('/etc/passwd')", "FileNotFoundError"),
        ("open('/src/../../../etc/passwd')", "PermissionError"),
        ("open('/src/job.py', 'w')", "PermissionError"),
        ("import socket; socket.socket().connect(('127.0.0.1', 80))", "OSError"),
        ("import os; os.system('id')", "AttributeError"),
        ("import subprocess; subprocess.run(['id'])", "OSError"),
        ("import ctypes", "ModuleNotFoundError"),
        ("import threading; threading.Thread(target=print).start()", "RuntimeError"),
        ("def f(): f()\nf()", "RecursionError"),
    ],
)
def test_what_a_hostile_program_may_not_fails_in_it_alone(bench: Bench, run: Any, text: str, error: str) -> None:
    report = run(text + "\n")
    assert report.outcome.exit_code == 1
    assert report.stderr.data.decode().splitlines()[-1].startswith(error)


def test_recursion_past_the_stack_traps_and_the_runners_live(bench: Bench, run: Any) -> None:
    deep = "import sys\nsys.setrecursionlimit(10**9)\nclass A:\n    def __repr__(self): return repr(self)\nrepr(A())\n"
    assert run(deep, memory_mb=256).outcome.kind in {OutcomeKind.TRAPPED, OutcomeKind.EXITED, OutcomeKind.OUT_OF_MEMORY}
    script = run("(function f() { f(); })();\n", suffix="js")
    assert (script.outcome.kind, script.outcome.trap_kind) == (OutcomeKind.TRAPPED, "memory_out_of_bounds")
    assert (script.outcome.message or "").endswith("its stack was full: a recursion without end")
    bench.check_alive()


def test_output_without_end_is_cut_at_its_limit(run: Any) -> None:
    for text, suffix in (
        ("while True: print('x' * 1000)\n", "py"),
        ("for (;;) console.log('x'.repeat(1000));\n", "js"),
    ):
        report = run(text, suffix=suffix, output_bytes=10_000)
        assert (report.outcome.kind, report.stdout.size) == (OutcomeKind.OUTPUT_LIMIT, 10_000)


# ---- calls

ADD = "def add(a: int, b: int = 2) -> int:\n    return a + b\n"


def test_many_calls_share_one_interpreter(call: Any) -> None:
    counts = "made = 0\n\ndef count(x):\n    global made\n    made += 1\n    return [x, made]\n"
    ran = call({"c.py": counts}, "count", *map(str, range(300)))
    assert {index: json.loads(text) for index, text in values(ran).items()} == {n: [n, n + 1] for n in range(300)}
    script = "let made = 0;\nconst count = (x) => [x, ++made];\n"
    ran = call({"c.js": script}, "count", *map(str, range(300)))
    assert {index: json.loads(text) for index, text in values(ran).items()} == {n: [n, n + 1] for n in range(300)}
    alone = call({"c.py": counts}, "count", "1", "2", "3", isolate=True)
    assert [json.loads(text) for text in values(alone).values()] == [[1, 1], [2, 1], [3, 1]]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("[]", "arguments: 1 wanted, 0 given; it is add(a: int, b: int = 2) -> int"),
        ("[1, 2, 3]", "arguments: 2 wanted, more given; it is add(a: int, b: int = 2) -> int"),
        ('["3"]', 'argument 1 (a): int is wanted, not "3"; it is add(a: int, b: int = 2) -> int'),
        ("[1, true]", "argument 2 (b): int is wanted, not true; it is add(a: int, b: int = 2) -> int"),
    ],
)
def test_a_call_that_does_not_fit_is_told_the_signature(call: Any, given: str, words: str) -> None:
    ran = call({"a.py": ADD}, "add", given)
    assert (ran.reports[0].outcome.kind, ran.reports[0].outcome.message) == (OutcomeKind.REJECTED, words)


VALUES = [
    *("null", "true", "-5", "9007199254740993", "1.5", '"é\\u0000/../x"', "[]", '[[1,2],["a"]]', '{"a":{"b":[1]}}'),
    *('"' + "long " * 1000 + '"', "1e300"),
]


def test_values_come_back_as_they_went(call: Any) -> None:
    wanted = [json.loads(text) for text in VALUES]
    ran = call({"e.py": "def echo(x):\n    return x\n"}, "echo", *(f"[{text}]" for text in VALUES))
    assert [json.loads(text) for text in values(ran).values()] == wanted
    ran = call({"e.js": "export function echo(x) { return x; }\n"}, "echo", *(f"[{text}]" for text in VALUES))
    found = [json.loads(text) for text in values(ran).values()]
    assert found[:3] + found[4:] == wanted[:3] + wanted[4:]  # a number of JavaScript has 53 bits


def test_words_are_read_as_their_parameters_want_them(call: Any) -> None:
    text = "def f(a: str, b: float, c: list[int], d, *rest: bool):\n    return [a, b, c, d, rest]\n"
    words = {"argv": ["3", "NaN", "[1,2]", "x y", "true"]}
    ran = call({"f.py": text}, "f", use="args", lines=None, count=1, args=words["argv"])
    assert json.loads(values(ran)[0]) == ["3", "NaN", [1, 2], "x y", [True]]


def test_a_function_that_fails_costs_one_call(call: Any) -> None:
    text = """
import sys, time
def f(x):
    print("call", x)
    if x == 1: raise ValueError("no")
    if x == 2: sys.exit(5)
    if x == 3:
        while True: pass
    if x == 4: return [0] * (1 << 28)
    if x == 5: return "x" * 100_000
    if x == 6: return {1, 2}
    if x == 7: return time.sleep(100)
    return x
"""
    ran = call({"f.py": text}, "f", *map(str, range(9)), wall_s=1.0)
    found = {report.index: report for report in ran.reports}
    assert [found[n].outcome.kind for n in range(9)] == [
        *(OutcomeKind.EXITED, OutcomeKind.EXITED, OutcomeKind.EXITED, OutcomeKind.TIMED_OUT),
        *(OutcomeKind.OUT_OF_MEMORY, OutcomeKind.OUTPUT_LIMIT, OutcomeKind.EXITED, OutcomeKind.TIMED_OUT),
        OutcomeKind.EXITED,
    ]
    assert [found[n].outcome.exit_code for n in (0, 1, 2, 6, 8)] == [0, 1, 5, 1, 0]
    assert found[1].outcome.message == "ValueError: no"
    assert found[1].stderr.data.decode().count("ValueError: no") == 1
    assert 'File "/src/f.py", line 5, in f' in found[1].stderr.data.decode()
    assert found[6].outcome.message == "TypeError: a value of type set has no JSON"
    assert [found[n].stdout.data for n in (0, 1, 8)] == [b"call 0\n", b"call 1\n", b"call 8\n"]
    assert (found[0].return_value, found[8].return_value) == ("0", "8")


def test_a_file_that_fails_as_it_is_loaded(call: Any) -> None:
    ran = call({"f.py": "def f(): pass\nimport nothing_such\n"}, "f", "[]")
    assert ran.reports[0].outcome.exit_code == 1
    assert ran.reports[0].stderr.data.decode().endswith("No module named 'nothing_such'\n")


def test_cpu_time_of_calls_is_counted_and_limited(call: Any) -> None:
    text = "def f(n):\n    for _ in range(n): pass\n    return n\n"
    ran = call({"f.py": text}, "f", "[2000000]", "[10]", "[1000000000]", cpu_s=2.0, wall_s=100.0)
    found = {report.index: report for report in ran.reports}
    assert found[0].stats.cpu_ms > 10
    assert found[2].outcome.kind is OutcomeKind.TIMED_OUT
    assert "cpu time" in (found[2].outcome.message or "")


def test_fuel_is_counted_per_call(call: Any) -> None:
    script = "function f(n) { for (let i = 0; i < n; i++); return n; }\n"
    ran = call({"f.js": script}, "f", "[1000]", "[1000]", "[100000000]", fuel=200_000_000, wall_s=100.0)
    found = {report.index: report for report in ran.reports}
    assert found[2].outcome.kind is OutcomeKind.OUT_OF_FUEL
