"""`python -m benchmarks.before [COMMIT]`: the benchmarks of single jobs, of an earlier state and of this one.

The earlier state is laid out below .cache/ with an environment of its own (its source first, then the packages of this
one), and is measured by today's benchmarks. Both take turns, so that both meet the same machine.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path
from typing import Any

from benchmarks import figures
from benchmarks.figures import CACHE
from benchmarks.grid import ROOT, show

BEFORE = "b5c0ae7"  # the last commit without chunks
ROUNDS = 2
NAMES = ("clients", "latency")
TIMEOUT_S = 600.0
_COMMAND = "import sys\nfrom wasmgrid.cli.main import main\nsys.exit(main())\n"


def laid_out(commit: str) -> Path:
    """The folder of that commit, ready to run."""
    folder = CACHE / "before" / commit
    if not (folder / "ready").exists():
        archive = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=True).stdout
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(folder, filter="data")
        environment = folder / ".venv"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
        packages = next((environment / "lib").glob("python*/site-packages"))
        (packages / "before.pth").write_text(f"{folder / 'src'}\n{sysconfig.get_path('purelib')}\n", encoding="utf-8")
        command = environment / "bin" / "wasmgrid"
        command.write_text(f"#!{environment / 'bin' / 'python'}\n{_COMMAND}", encoding="utf-8")
        command.chmod(0o755)
        for program in Path(sys.executable).parent.iterdir():  # nats-server is found beside python
            with contextlib.suppress(FileExistsError):
                (command.parent / program.name).symlink_to(program)
        (folder / "ready").touch()
    return folder


def measured(folder: Path, python: Path, name: str, kept: Path) -> dict[str, Any]:
    """The figures of one run of benchmark `name` in `folder`, its results being kept in `kept`."""
    kept.mkdir(parents=True, exist_ok=True)
    if not (kept / "modules").exists():
        (CACHE / "modules").mkdir(parents=True, exist_ok=True)
        (kept / "modules").symlink_to(CACHE / "modules")
    settings = {**os.environ, "WASMGRID_BENCH_CACHE": str(kept), "WASMGRID_BENCH_ROUNDS": "1"}
    argv = [str(python), "-m", f"benchmarks.{name}"]
    subprocess.run(argv, cwd=folder, env=settings, check=True, stdout=subprocess.DEVNULL, timeout=TIMEOUT_S)
    found: dict[str, Any] = figures.read(kept / "results" / f"{name}.json")
    return found


def main(commit: str) -> None:
    """Measure both in turns, keep and show."""
    old = laid_out(commit)
    benchmarks = old / "benchmarks"
    shutil.rmtree(benchmarks)
    shutil.copytree(ROOT / "benchmarks", benchmarks)
    states = {
        "before": (old, old / ".venv" / "bin" / "python", CACHE / "before" / "kept"),
        "after": (ROOT, Path(sys.executable), CACHE / "before" / "kept-after"),
    }
    took: dict[str, dict[str, list[Any]]] = {state: {name: [] for name in NAMES} for state in states}
    for number in range(ROUNDS):
        for state, (folder, python, kept) in states.items():
            print(f"  round {number + 1} of {ROUNDS}: {state}", file=sys.stderr, flush=True)
            for name in NAMES:
                took[state][name].append(measured(folder, python, name, kept))
    found = {state: summary(each) for state, each in took.items()}
    for state, each in found.items():
        rows = [(key, f"{each[key]['median']:.2f}") for key in ("per_s", "cached_ms", "built_ms")]
        rows += [(f"us of CPU a job, {name}", f"{us:.0f}") for name, us in each["parts_us"].items()]
        show(f"{state}: {commit if state == 'before' else 'now'}", rows)
    print(figures.save("before", {"commit": commit, **found}))


def summary(took: dict[str, list[Any]]) -> dict[str, Any]:
    """Medians over the rounds."""
    parts = [each["rounds"][-1]["parts_us"] for each in took["clients"]]
    names = list(dict.fromkeys(name for each in parts for name in each))
    return {
        "per_s": figures.spread([each["per_s"]["median"] for each in took["clients"]]),
        "cached_ms": figures.spread([each["cached"]["p50"] for each in took["latency"]]),
        "built_ms": figures.spread([each["built"]["p50"] for each in took["latency"]]),
        "cpu_us": figures.spread([each["cpu_us"]["median"] for each in took["latency"]]),
        "parts_us": {name: figures.spread([each.get(name, 0.0) for each in parts])["median"] for name in names},
    }


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else BEFORE)
