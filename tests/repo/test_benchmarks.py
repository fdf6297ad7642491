"""The benchmarks work, small: every driver of ours runs to its end and its figures fill the documents. No timings."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from benchmarks import figures, render, stages, tables
from benchmarks.environments import MissingError, environment, tool
from benchmarks.modules import module
from benchmarks.peers.contest import Contest
from benchmarks.peers.drivers.driver import Work, good
from benchmarks.peers.peer import Peer
from benchmarks.peers.roster import BARE, OURS, Entrant
from benchmarks.runtimes.__main__ import MEASURES, RUNTIMES, probe

ROOT = Path(__file__).parents[2]
DEADLINE_S = 240.0


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("benchmarks")


@pytest.fixture(autouse=True)
def own_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("figures", "modules", "environments"):
        monkeypatch.setattr(f"benchmarks.{name}.CACHE", cache)


def few(entrant: Entrant, count: int) -> Entrant:
    return Entrant(entrant.name, entrant.argv, {"small": count})


def missing() -> list[str]:
    raise MissingError("not to be had here")


def test_we_the_bare_loop_and_a_peer_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.peers.contest.ROUNDS", 1)
    nobody = Entrant("nobody", missing, {"small": 1})
    mad = Entrant("mad", lambda: [sys.executable, "-c", "raise SystemExit('it is mad')"], {"small": 1})
    measured = Contest([nobody, mad, few(OURS, 40)], ["small"], bare=few(BARE, 40)).run()
    assert measured["missing"].pop("nobody") == "not to be had here"
    assert "it is mad" in measured["missing"].pop("mad")
    assert measured["missing"] == {}
    ours = measured["peers"]["wasmgrid"]["small"]
    assert ours["count"] == 40
    assert set(measured["versions"]) == {"bare loop", "wasmgrid"}
    assert "wasmgrid.runner" in ours["parts_us"]


def test_a_wrong_output_is_seen() -> None:
    work = Work(module="/x/small-rs-1.wasm", native="", first=7, count=2)
    assert good(work, [b"hello 7\n", b"hello 8\n"]) == 2
    assert good(work, [b"hello 7\n", b"hello 7\n"]) == 1


def test_a_peer_runs_what_it_is_given_and_leaves_nothing_behind() -> None:
    with Peer(BARE.name, BARE.argv) as peer:
        for guest in ("small.rs", "compute.cpp"):
            peer.run(module(guest), None, 8)
        folder = Path(peer._folder)
        assert any(folder.iterdir())
    assert not folder.exists()
    assert peer._process.poll() is not None


@pytest.mark.parametrize("name", ["latency", "million", "growth"])
def test_a_figure_is_measured_and_kept(name: str, cache: Path) -> None:
    settings = {"WASMGRID_BENCH_SCALE": "0.0005", "WASMGRID_BENCH_ROUNDS": "1", "WASMGRID_BENCH_CACHE": str(cache)}
    argv = [sys.executable, "-m", "benchmarks", name]
    ended = subprocess.run(
        argv, cwd=ROOT, env={**os.environ, **settings}, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert ended.returncode == 0, ended.stderr
    kept = figures.load(name)
    assert kept is not None
    assert kept["conditions"]["rounds"] == 1


def test_samples_belong_to_the_innermost_of_our_functions() -> None:
    loop = "thread (0x1);run (/venv/bin/wasmgrid:8);run (/x/wasmgrid/server/process.py:9)"
    text = "\n".join([
        f"{loop} 60",
        f"{loop};perform (/x/wasmgrid/control/performer.py:5);encode (/lib/msgspec.py:1) 30",
        f"{loop};perform (/x/wasmgrid/control/performer.py:7) 10",
        "thread (0x2);_worker (/lib/concurrent/futures/thread.py:81) 100",
    ])  # fmt: skip
    samples, most = stages.folded(text)
    assert samples == {"server/process.run": 60, "control/performer.perform": 40}
    assert most == 100
    parts = stages.divided(100.0, samples, 1.0)
    assert parts == {"control/performer.perform": 40.0, "other functions": 0.0, "event loop": 60.0}


def test_a_runtime_is_probed() -> None:
    figure = probe(RUNTIMES["wasmtime, Cranelift, pooling"](), module("sort.rs"), ["1"])
    assert set(MEASURES) <= set(figure)
    assert re.fullmatch(r"[0-9a-f]{16}\n", figure["output"])


def test_what_cannot_be_had_says_why() -> None:
    with pytest.raises(MissingError, match="Debian's package nothing has it"):
        tool("no-such-command", "nothing")
    with pytest.raises(MissingError):
        environment("broken", "./no/such/folder")


def test_blocks_of_the_documents_are_filled_where_there_are_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    spread = {"median": 2.0, "least": 1.0, "most": 3.0}
    lengths = {str(10**power): spread for power in range(3, 7)}
    kept: dict[str, dict[str, Any]] = {"growth": {"waiting": lengths, "ratio": 1.0}}
    monkeypatch.setattr(tables, "load", kept.get)
    monkeypatch.setattr(figures, "load", kept.get)
    page = "a\n<!-- figures: growth -->\nold\n<!-- end -->\nb\n<!-- figures: peers -->\nkept\n<!-- end -->\n"
    page = render.filled(page)
    assert "| 1,000,000 | 2 (1 to 3) |" in page
    assert "old" not in page
    assert "kept" in page
    assert render.filled(page) == page
    assert [path.name for path in render.plots()] == ["growth.svg"]


def test_every_block_of_the_documents_is_known() -> None:
    named = [name for page in render.PAGES for _, name, _, _ in render.BLOCK.findall(page.read_text(encoding="utf-8"))]
    assert set(named) == set(render.BLOCKS)
