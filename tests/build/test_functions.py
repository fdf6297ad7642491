"""A plain function in a plain file becomes a module that can be called, in every language."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.build.calls import Instance, run

from wasmgrid.build.builder import Built
from wasmgrid.core.outcome import OutcomeKind

Build = Callable[..., Built]
EXAMPLES = Path(__file__).parents[2] / "examples"
ADD = ["add.rs", "add.c", "add.cpp", "add.go", "add.zig"]


def module_of(built: Built) -> bytes:
    """The module of a build that succeeded."""
    assert built.outcome.kind is OutcomeKind.EXITED, f"{built.outcome.message}\n{built.diagnostics}"
    assert built.module is not None
    return built.module


@pytest.mark.parametrize("name", ADD)
def test_the_example_adds(build: Build, name: str) -> None:
    built = build({name: (EXAMPLES / name).read_text()}, function="add")
    module = module_of(built)
    assert built.diagnostics == ""
    instance = Instance(module)
    assert instance.call("[2,3]") == "=5"
    assert instance.call('{"argv":["2","3"]}') == "=5"
    assert instance.call("[2]").startswith("?arguments: 2 wanted, 1 given; it is add(a: i")
    if not name.endswith(".go"):  # a reactor
        assert run(module, "2", "3") == (0, "5\n", "")
