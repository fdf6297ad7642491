"""What the dashboard gives to be copied as Python is a program of this SDK."""

from __future__ import annotations

import ast
import shutil
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

import wasmgrid
from wasmgrid.sdk.options import JobOptions

SCRIPT = Path(wasmgrid.__file__).parent / "server/dashboard/static/js/copyas.js"
EVERYTHING = {
    "name": 'a "b" é', "cpus": 2, "memory_mb": 64, "disk_mb": 5, "gpus": 1, "gpu_model": "H100", "gpu_memory_mb": 7,
    "time_limit_s": 30, "queue_timeout_s": 1.5, "total_timeout_s": 9, "cpu_time_limit_s": 3, "output_limit_bytes": 5,
    "output_overflow": "truncate", "fuel": 9, "retries": 1, "priority": 3, "concurrency": 2, "max_fails": 1,
    "env": {"A": "b"}, "require": {"arch": "arm64"}, "prefer": {"x": "y"}, "fail_fast": True, "isolate": True,
    "args": ["1", "2"],
}  # fmt: skip
METHODS = {
    "run": ({}, {"files": ["x.c"], "entry": "x.c"}),
    "function": ({"function": "add"}, {"files": ["x.c", "y.c"], "entry": "x.c"}),
    "map": ({"function": "add", "array": "0-3"}, {"files": [], "module": "a" * 64}),
}


@pytest.mark.parametrize("method", METHODS)
def test_the_keywords_are_those_of_the_sdk(method: str) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed here")
    more, what = METHODS[method]
    given = [msgspec.json.encode(each).decode() for each in (EVERYTHING | more, what)]
    program = f"import {{ asPython }} from {str(SCRIPT)!r}; console.log(asPython({', '.join(given)}))"
    done = subprocess.run([node, "--input-type=module", "-e", program], capture_output=True, text=True, check=True)
    calls = [node for node in ast.walk(ast.parse(done.stdout)) if isinstance(node, ast.Call)]
    (made,) = [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == method]
    keywords: dict[str, Any] = {word.arg or "": ast.literal_eval(word.value) for word in made.keywords}
    assert set(keywords) - {"function"} <= set(JobOptions.__annotations__)
    assert (keywords["name"], keywords["time_limit"], keywords["output_limit"]) == ('a "b" é', 30, 5)
