"""systemd's units in `deploy/`, read as far as tests need it: what is started, with which environment."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

DEPLOY = Path(__file__).parents[2] / "deploy"


@dataclass(frozen=True)
class Unit:
    """One unit as a host would run it whose files are elsewhere: `placed` maps paths, `instance` is what %i means."""

    name: str
    instance: str
    placed: Callable[[str], str]

    def values(self, key: str) -> list[str]:
        """Everything that the section [Service] says for a key, in order, with specifiers and paths replaced."""
        section = (DEPLOY / self.name).read_text(encoding="utf-8").partition("[Service]")[2].partition("\n[")[0]
        found = re.findall(rf"^{key}=(.*)$", section, re.MULTILINE)
        return [self.placed(value.replace("%i", self.instance)) for value in found]

    def environment(self) -> dict[str, str]:
        """What its process finds in its environment, files included."""
        lines = self.values("Environment")
        for path in self.values("EnvironmentFile"):
            lines += Path(path).read_text(encoding="utf-8").splitlines()
        pairs = (line.partition("=") for line in lines if line.strip() and not line.startswith("#"))
        return {key: value for key, _, value in pairs}

    def command(self, key: str = "ExecStart", **known: str) -> list[str]:
        """The arguments, with variables replaced as systemd does: `${NAME}` inside of a word, `$NAME` as a word."""
        [line] = self.values(key)
        return [_expanded(word, {**self.environment(), **known}) for word in shlex.split(line)]


def _expanded(word: str, environment: Mapping[str, str]) -> str:
    return re.sub(r"\$\{(\w+)\}|\$(\w+)", lambda found: environment[found[1] or found[2]], word)
