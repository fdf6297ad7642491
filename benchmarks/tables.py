"""Kept figures as tables of the documents, each None where its benchmark has not run here."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.figures import load

TITLES = {"small": "small Rust module", "compute": "C++, 5 ms", "hello": "2.4 MB Go module"}
_LISTED = 8
_DONE, _MISSED = "reached", "**missed**"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def spread(values: dict[str, float], form: str = ",.0f") -> str:
    """Median, and least to most in brackets."""
    return f"{values['median']:{form}} ({values['least']:{form}} to {values['most']:{form}})"


def goals() -> str | None:
    """The figures that were asked for, and what was measured."""
    rows = [
        row for measure in (_small, _compute, _calls, _cached, _clients, _million, _built, _growth) for row in measure()
    ]
    return table(["figure", "must reach", "measured", ""], rows) if rows else None


def _verdict(good: bool) -> str:
    return _DONE if good else _MISSED


def _small() -> list[list[str]]:
    measured = load("arrays")
    if measured is None or "wasmgrid" not in measured["small"]["peers"]:
        return []
    peers = measured["small"]["peers"]
    ours = peers["wasmgrid"]["small"]
    ratio, rate = ours["ratio"]["median"], ours["per_s"]["median"]
    what = f"array of {ours['count']:,} small tasks, one durable row each"
    said = f"{spread(ours['ratio'], '.2f')}x: {rate:,.0f} tasks/s beside {ours['bare_per_s']['median']:,.0f}"
    rows = [[what, ">= 0.7x the bare loop, aim 0.85x", said, _verdict(ratio >= 0.7)]]
    if "wasmgrid, half a cpu a task" in peers:
        half = peers["wasmgrid, half a cpu a task"]["small"]
        words = f"{spread(half['ratio'], '.2f')}x: {half['per_s']['median']:,.0f} tasks/s"
        rows.append(
            [
                "the same, half a cpu a task: two runners a core",
                "the same",
                words,
                _verdict(half["ratio"]["median"] >= 0.7),
            ]
        )
    if "Ray" in peers:
        ray = peers["Ray"]["small"]["per_s"]["median"]
        words = f"{rate / ray:.1f}x: Ray {ray:,.0f} tasks/s"
        rows.append(["the same", ">= 8x Ray", words, _verdict(rate >= 8 * ray)])
    return rows


def _compute() -> list[list[str]]:
    measured = load("arrays")
    if measured is None or "wasmgrid" not in measured["compute"]["peers"]:
        return []
    ours = measured["compute"]["peers"]["wasmgrid"]["compute"]
    said = f"{spread(ours['ratio'], '.3f')}x: {ours['per_s']['median']:,.0f} tasks/s"
    what = f"the 5 ms module, array of {ours['count']:,}"
    rows = [[what, ">= 0.96x the bare loop", said, _verdict(ours["ratio"]["median"] >= 0.96)]]
    if "wasmgrid, half a cpu a task" in measured["compute"]["peers"]:
        half = measured["compute"]["peers"]["wasmgrid, half a cpu a task"]["compute"]
        words = f"{spread(half['ratio'], '.3f')}x: {half['per_s']['median']:,.0f} tasks/s"
        rows.append(["the same, half a cpu a task", "the same", words, _verdict(half["ratio"]["median"] >= 0.96)])
    return rows


def _calls() -> list[list[str]]:
    measured = load("calls")
    if measured is None:
        return []
    said = f"{spread(measured['per_s'])} calls/s"
    what = f"a function mapped over {measured['count']:,} inputs, warm instances"
    return [[what, ">= 50,000 calls/s", said, _verdict(measured["per_s"]["median"] >= 50_000)]]


def _cached() -> list[list[str]]:
    measured = load("latency")
    if measured is None:
        return []
    each, disk = measured["cached"], measured["fsync"]
    said = f"{each['p50']:.1f} / {each['p99']:.1f} ms (fsync {disk['p50']:.2f} / {disk['p99']:.2f} ms)"
    good = each["p50"] <= 4 and each["p99"] <= 12
    return [["single cached job, submit with wait to result, p50 / p99", "<= 4 / 12 ms, aim 2.5", said, _verdict(good)]]


def _clients() -> list[list[str]]:
    measured = load("clients")
    if measured is None:
        return []
    what = f"{measured['clients']} clients submitting single jobs, native load generator"
    said = f"{spread(measured['per_s'])} jobs/s"
    return [[what, ">= 1,200 jobs/s", said, _verdict(measured["per_s"]["median"] >= 1200)]]


def _million() -> list[list[str]]:
    measured = load("million")
    if measured is None:
        return []
    what, ratio, resident = f"a {measured['count']:,}-task array", measured["ratio"], measured["server_mb"]
    killed = f"yes: killed at {measured['killed_at']:,}, every task has one result"
    return [
        [what, "CPU per task within 15 % of the 50,000 one", f"{ratio:.2f}x", _verdict(ratio <= 1.15)],
        ["the same", "server RSS < 400 MB", f"{resident:.0f} MB", _verdict(resident < 400)],
        ["the same", "survives `kill -9` of the server half-way", killed, _DONE],
    ]


def _built() -> list[list[str]]:
    measured = load("latency")
    if measured is None:
        return []
    p50 = measured["built"]["p50"]
    return [["build cache hit, submit to result, p50", "<= 10 ms", f"{p50:.1f} ms", _verdict(p50 <= 10)]]


def _growth() -> list[list[str]]:
    measured = load("growth")
    if measured is None:
        return []
    what = "CPU per task as the queue grows from 10^3 to 10^6"
    medians = ", ".join(f"{each['median']:.0f}" for each in measured["waiting"].values())
    said = f"{measured['ratio']:.2f}x: {medians} us"
    return [[what, "flat within 15 %", said, _verdict(measured["ratio"] <= 1.15)]]


def peers() -> str | None:
    """Tasks a second of everyone with every module, and the ratio to the bare loop beside it."""
    measured = load("peers")
    if measured is None:
        return None
    first = next(iter(measured["peers"].values()))
    bare = [f"{first[module]['bare_per_s']['median']:,.0f}" for module in TITLES]
    rows = [[measured["versions"]["bare loop"] + ", bare loop", *(cell for each in bare for cell in (each, "1"))]]
    for name, scores in measured["peers"].items():
        cells = []
        for module in TITLES:
            score = scores.get(module)
            cells += [spread(score["per_s"]), f"{score['ratio']['median']:.3f}"] if score else ["", ""]
        rows.append([measured["versions"][name], *cells])
    head = ["", *(cell for title in TITLES.values() for cell in (f"{title}, tasks/s", "x bare"))]
    return table(head, rows)


def memory() -> str | None:
    """CPU and memory of everyone."""
    measured = load("peers")
    if measured is None:
        return None
    rows = []
    for name, scores in measured["peers"].items():
        cells = [f"{scores[module]['cpu_us']['median']:,.0f}" if module in scores else "" for module in TITLES]
        one = next(iter(scores.values()))
        own = "-" if one["task_mb"] is None else f"{one['task_mb']:.1f} MB"
        rows.append([name, *cells, f"{one['rss_mb']['median']:.0f} MB", own])
    first = next(iter(measured["peers"].values()))
    rows.insert(0, ["bare loop", *(f"{first[module]['bare_cpu_us']['median']:,.0f}" for module in TITLES), "", "-"])
    head = [
        "",
        *(f"{title}, us of CPU a task" for title in TITLES.values()),
        "resident, all processes",
        "a task's process",
    ]
    return table(head, rows)


def left_out() -> str | None:
    """Who did not take part, and why."""
    measured = load("peers")
    if measured is None:
        return None
    missing = measured["missing"]
    return "\n".join(f"- {name}: {why}" for name, why in missing.items()) or "Nobody was left out."


def versions() -> str | None:
    """When, from which commit, on what."""
    measured = load("peers")
    if measured is None:
        return None
    at = measured["conditions"]
    return (
        f"Measured {at['at'][:16].replace('T', ' ')} UTC at commit {at['commit']}, {at['cores']} cores, "
        f"{at['rounds']} rounds; the load before was {at['load']:.2f}."
    )


def _parts(parts: dict[str, float]) -> str:
    rows = [[f"`{name}`", f"{us:.1f}"] for name, us in parts.items() if name != "all" and us >= 0.05]
    return table(
        ["process", "us of CPU"], [*rows, ["all", f"{sum(us for name, us in parts.items() if name != 'all'):.1f}"]]
    )


def single_parts() -> str | None:
    """A single job before and after: CPU by process under 64 clients, rate and latency."""
    measured = load("before")
    if measured is None:
        return None
    old, new = measured["before"], measured["after"]
    rows = []
    for name in new["parts_us"]:
        used = [f"{each['parts_us'].get(name, 0.0):,.0f}" for each in (old, new)]
        rows.append([f"`{name}`, us of CPU" if name != "all" else "all, us of CPU", *used])
    rows.append(["jobs/s", *(spread(each["per_s"]) for each in (old, new))])
    for key, what in (
        ("cached_ms", "alone, known module, p50 ms"),
        ("built_ms", "alone, source that was built, p50 ms"),
    ):
        rows.append([what, *(spread(each[key], ".1f") for each in (old, new))])
    at = measured["conditions"]
    made = table(["", f"before ({measured['commit']})", "after"], rows)
    return f"{made}\n\nMeasured {at['at'][:16].replace('T', ' ')} UTC; the load before was {at['load']:.1f}."


def array_parts() -> str | None:
    """CPU of an array's small task by process, with the client."""
    measured = load("arrays")
    if measured is None or "wasmgrid" not in measured["small"]["peers"]:
        return None
    ours = measured["small"]["peers"]["wasmgrid"]["small"]
    bare = f"The bare loop beside it: {ours['bare_cpu_us']['median']:.1f} us."
    return f"{_parts(ours['parts_us'])}\n\n{bare}"


def array_stages() -> str | None:
    """An array's small task, by function of server and agent."""
    return _stages("array")


def single_stages() -> str | None:
    """A single job of many clients, by function of server and agent."""
    return _stages("single")


def _stages(what: str) -> str | None:
    measured = load("stages")
    if measured is None or what not in measured:
        return None
    rows = [
        [f"`{name}`" if number == 0 else "", f"`{part}`" if "." in part else part, f"{us:.1f}"]
        for name, parts in measured[what].items()
        for number, (part, us) in enumerate(_largest(parts, _LISTED).items())
    ]
    return table(["process", "in", "us"], rows)


def _largest(parts: dict[str, float], count: int) -> dict[str, float]:
    named = {part: us for part, us in parts.items() if "." in part}
    kept = dict(sorted(named.items(), key=lambda each: -each[1])[:count])
    others = sum(us for part, us in parts.items() if part not in kept and part != "event loop")
    return {**kept, "other functions": others, "event loop": parts.get("event loop", 0.0)}


def growth() -> str | None:
    """CPU per task over the queue's length."""
    measured = load("growth")
    if measured is None:
        return None
    rows = [[f"{int(waiting):,}", spread(each)] for waiting, each in measured["waiting"].items()]
    return table(["tasks waiting", "us of CPU a task"], rows)


def runtimes() -> str | None:
    """Every runtime with every program."""
    measured = load("runtimes")
    if measured is None:
        return None
    programs = list(dict.fromkeys(program for each in measured["runtimes"].values() for program in each))
    rows = []
    for name, each in measured["runtimes"].items():
        for program in programs:
            if program in each:
                one = each[program]
                compiled = max(0.0, one["first_ms"]["median"] - one["start_us"]["median"] / 1000)
                figures = [f"{compiled:,.0f} ms", f"{one['start_us']['median']:,.0f} us"]
                figures += [f"{one['run_ms']['median']:,.0f} ms", f"{one['rss_mb']['median']:.0f} MB"]
                rows.append([name, program, *figures])
            else:
                why = measured["missing"].get(name, {}).get(program, "not tried").rpartition("Error: ")[2]
                rows.append([name, program, f"not run: {why}", "", "", ""])
    said = ", ".join(dict.fromkeys(measured["versions"].values()))
    return f"{table(['runtime', 'program', 'compile', 'start', 'compute', 'memory'], rows)}\n\n{said}."
