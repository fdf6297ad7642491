"""Whether what came is what a page shows: times, sizes, digests and numbers of jobs may differ, all else may not."""

from __future__ import annotations

import re

PROGRESS = re.compile(
    r"^(?:(?:building|queued|fetching): .*"
    r"|no server is running; starting one.*"
    r"|warning: no worker has joined this grid; .*"
    r"|[\d,]+ of [\d,]+ · .*)$"
)
SAME: list[tuple[re.Pattern[str], str]] = [
    (re.compile(pattern), word)
    for pattern, word in [
        (r"\x1b\[[0-9;?]*[A-Za-z]", ""),
        (r"\d{4}-\d\d-\d\dT[\d:.]+(?:Z|\+00:00)", "DATE"),
        (r"\b(?:[0-9a-f]{32,}|(?<=-)[0-9a-f]{8,})(?:\b|(?=…))", "DIGEST"),
        (r"\b[0-9a-f]{6,64}(?:…|\.\.\.)", "DIGEST"),
        (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
        (r"\b(?:\d+h(?:\d+m)?(?:\d+s)?|\d+m\d+s|\d[\d,.]*\s?(?:us|ms|s|min|m|h|d))\b(?!/)", "TIME"),
        (r"\b\d[\d,.]*\s?(?:B|KiB|MiB|GiB|TiB)(?!\w)", "SIZE"),
        (r"\b[\d,.]+ (tasks|calls|jobs)/s", r"N \1/s"),
        (r"\b(id:|job|pid|running, id:) \d+", r"\1 ID"),
        (r"(wasmgrid (?:[a-z-]+)(?: (?:-f|--build|--id|--failed|--follow))*) \d+", r"\1 ID"),
        (r'"(id|job_id)":( ?)\d+', r'"\1":\2ID'),
        (r"\brepro-\d+", "repro-ID"),
        (r"\bcompile (?:cached|TIME)", "compile TIME"),
        (r"(?: · (?:peak SIZE|fetch TIME|queue TIME))", ""),
        (r"^queue TIME · ", ""),
        (r"[ \t]+", " "),
    ]
]
HEADING = re.compile(r"^[A-Z]{2,}(?: [A-Z]{2,})+ ?$")
ELLIPSIS = re.compile(r"…|\.\.\.")


def plain(text: str) -> list[str]:
    """The lines of `text`, without what may differ."""
    lines = [_plain(line) for line in text.splitlines() if not PROGRESS.match(line.strip())]
    table = False
    for number, line in enumerate(lines):
        if table and line:
            lines[number] = re.sub(r"\b\d[\d,.]*\b", "N", line)
        table = bool(HEADING.match(line)) or (table and bool(line))
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _plain(line: str) -> str:
    for pattern, word in SAME:
        line = pattern.sub(word, line)
    return line.rstrip()


def alike(shown: str, came: str) -> bool:
    """Whether `came` is what is `shown`; there `…` or `...` stands for anything, on a line of its own for any lines."""
    pattern = ""
    for line in plain(shown):
        if ELLIPSIS.fullmatch(line.strip()):
            pattern += r"(?:.*\n)*"
        else:
            pattern += ".*".join(map(re.escape, ELLIPSIS.split(line))) + r"\n"
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in plain(came))) is not None


class Ids:
    """The numbers that jobs have on a page, and those that they have here."""

    def __init__(self) -> None:
        self._here: dict[str, str] = {}

    def learn(self, shown: str, came: str) -> None:
        """Take the numbers of jobs out of what a command printed."""
        for pattern in (r"running, id: (\d+)", r"^(\d+)$"):
            told = re.findall(pattern, shown, re.MULTILINE)
            real = re.findall(pattern, came, re.MULTILINE)
            if len(told) == len(real):
                self._here.update(zip(told, real, strict=True))

    def here(self, command: str) -> str:
        """`command` with the numbers that jobs have here."""
        known = r"(wasmgrid [a-z-]+(?: (?:-f|--build|--id|--failed|--follow))* |repro-|/v1/jobs/)(\d+)\b"
        return re.sub(known, lambda match: match[1] + self._here.get(match[2], match[2]), command)
