"""What clients submit while parts die: short and long, good and bad, compiled afresh and known already."""

from __future__ import annotations

import random

from tests.chaos.records import Json, Program
from tests.e2e import programs
from tests.e2e.guests import sleeper

_SMALL = {"cpus": 0.5, "memory_mb": 32, "disk_mb": 8}


def some(dice: random.Random) -> Program:
    """A program, by chance."""
    [make] = dice.choices(list(_WEIGHTS), list(_WEIGHTS.values()))
    return make(dice)


def _short(dice: random.Random) -> Program:
    text = f"short {dice.randrange(5)}"
    return Program("short", small_wat(programs.prints(text)), lambda job: _printed(job, text))


def _sleeps(dice: random.Random) -> Program:
    seconds = dice.choice([1.0, 2.0, 3.0])
    text = f"slept {seconds:g}"
    return Program("sleeps", small_wat(sleeper(seconds, text)), lambda job: _printed(job, f"{text}\n{text}\n"))


def _fails(_dice: random.Random) -> Program:
    return Program("exits with 3", small_wat(programs.exits(3)), lambda job: _ended(job, "failed", "exited", 3))


def _retried(_dice: random.Random) -> Program:
    spec = {**small_wat(programs.exits(4)), "retries": 2}
    return Program("tried three times", spec, lambda job: _ended(job, "failed", "exited", 4), own_failures=2)


def _traps(_dice: random.Random) -> Program:
    return Program("traps", small_wat(programs.TRAP), lambda job: _ended(job, "failed", "trapped"))


def _fresh_wat(dice: random.Random) -> Program:
    text = f"fresh {dice.getrandbits(48):x}"
    return Program("new WAT", small_wat(programs.prints(text)), lambda job: _printed(job, text))


def _fresh_c(dice: random.Random) -> Program:
    source = f"/* {dice.getrandbits(48):x} */\n{programs.HELLO_C}"
    return Program("new C", _source("hello.c", source), lambda job: _printed(job, "hello from C\n"))


def _broken_c(dice: random.Random) -> Program:
    source = f"/* {dice.getrandbits(48):x} */\n{programs.BROKEN_C}"
    return Program("C that does not compile", _source("broken.c", source), _not_built)


def _cancelled(dice: random.Random) -> Program:
    after_s = dice.uniform(0.0, 2.0)
    return Program("cancelled", small_wat(sleeper(120.0, "long")), _was_cancelled, cancel_after_s=after_s)


def _raced(dice: random.Random) -> Program:
    """The cancel comes about when it ends: either is right, one of them."""

    def right(job: Json) -> bool:
        return _printed(job, "brief\nbrief\n") or _was_cancelled(job)

    return Program(
        "cancel races its end", small_wat(sleeper(0.4, "brief")), right, cancel_after_s=dice.uniform(0.2, 0.8)
    )


def _array(dice: random.Random) -> Program:
    """Tasks that are over in a moment: they travel many at a time."""
    count = dice.choice([20, 60, 150])
    return _tasks("array", programs.prints("one of many"), count)


def _long_array(dice: random.Random) -> Program:
    """Tasks that take longer than a chunk should: the rest of it is handed back."""
    return _tasks("array of sleepers", sleeper(dice.choice([0.1, 0.4]), "slept"), dice.choice([6, 12]))


def _cancelled_array(dice: random.Random) -> Program:
    spec = {**small_wat(sleeper(0.2, "brief")), "array": "0-299", "concurrency": 2}
    after_s = dice.uniform(0.0, 2.0)
    return Program("cancelled array", spec, _was_cancelled, cancel_after_s=after_s, tasks=300)


def _tasks(name: str, text: str, count: int) -> Program:
    spec = {**small_wat(text), "array": f"0-{count - 1}"}
    return Program(name, spec, lambda job: _all_succeeded(job, count), tasks=count)


_WEIGHTS = {
    _short: 30,
    _sleeps: 30,
    _fails: 6,
    _retried: 6,
    _traps: 6,
    _fresh_wat: 6,
    _fresh_c: 1,
    _broken_c: 1,
    _array: 8,
    _long_array: 4,
    _cancelled_array: 3,
    _cancelled: 7,
    _raced: 7,
}


def small_wat(text: str) -> Json:
    """A request for a program in WAT that takes little of a worker."""
    return _source("main.wat", text)


def _source(name: str, text: str) -> Json:
    return {**_SMALL, "source": {"files": {name: text}}}


def _printed(job: Json, text: str) -> bool:
    return _ended(job, "succeeded", "exited", 0) and bool(job["result"]["stdout"] == text)


def _ended(job: Json, state: str, outcome: str, code: int | None = None) -> bool:
    result = job["result"] or {}
    return bool((job["state"], result.get("outcome")) == (state, outcome)) and code in {None, result.get("exit_code")}


def _all_succeeded(job: Json, count: int) -> bool:
    return bool(job["state"] == "succeeded" and job["task_counts"]["succeeded"] == count)


def _not_built(job: Json) -> bool:
    return _ended(job, "failed", "build_failed")


def _was_cancelled(job: Json) -> bool:
    return bool(job["state"] == "cancelled")
