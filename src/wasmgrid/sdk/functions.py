"""A function of a source as a callable that runs on the grid."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from wasmgrid.core.errors import ModuleNotFound
from wasmgrid.sdk import endings, jsontexts, options, program, steps, views
from wasmgrid.sdk.prepare import Prepared
from wasmgrid.sdk.program import Program

if TYPE_CHECKING:
    from wasmgrid.sdk.client import Client
    from wasmgrid.sdk.jobs import Job
    from wasmgrid.sdk.mapping import Mapped

SIGNATURE_CHARS = 120


class Called:
    """What of a function is the same however its calls are sent: its program, its name, its requests."""

    def __init__(self, source: Program, name: str, asked: Mapping[str, Any]) -> None:
        options.check(asked)
        self._source = source
        self._asked = dict(asked)
        self._module: str | None = None
        self.__name__ = name
        self.signature: str | None = declared(source, name)
        """The line of the source that declares it, where one was found."""
        self.__doc__ = self.signature or f"{name} of {source if isinstance(source, str) else type(source).__name__}"

    @property
    def program(self) -> Program:
        """The module's digest, once a call has told it; until then the source."""
        return self._module or self._source

    @property
    def is_built(self) -> bool:
        """Whether a call has ended, and its module is known."""
        return self._module is not None

    @property
    def asked(self) -> dict[str, Any]:
        """What its jobs ask for; what was said about its compiling is done, once it is a module."""
        done = {"language", "entry", "build_flags"} if self._module is not None else set()
        return {key: value for key, value in self._asked.items() if key not in done}

    def request(self, args: tuple[Any, ...]) -> Prepared:
        """The job that is one call."""
        return options.request(self.program, self.asked, function=self.__name__, words=[word(each) for each in args])

    def learn(self, job: views.Job) -> None:
        """A call has ended: its module is known."""
        self._module = job.module_sha256 or self._module

    def forget(self) -> bool:
        """The grid has the module no more; False where nothing else is known."""
        known, self._module = self._module, None
        return known is not None

    def __repr__(self) -> str:
        return f"<wasmgrid function {self.signature or self.__name__}>"


class Function(Called):
    """`name` of `source`, called on the grid; `Client.function` makes it.

    `f(2, 3)` gives what it returns and raises `TaskFailed` or `BuildFailed`; `f.submit(2, 3)` gives a future of that;
    `f.map(xs, ys)` gives an iterator over `f(x, y)` for each pair, as `map` does, all in one job. A source is compiled
    by the first call; after that calls go by the digest of its module. `signature` is how the source declares it.
    """

    def __init__(self, client: Client, source: Program, name: str, asked: Mapping[str, Any]) -> None:
        super().__init__(source, name, asked)
        self.client = client

    def __call__(self, *args: Any) -> Any:
        """What the function returns for these arguments; Ctrl-C cancels the call."""
        made = self.request(args)
        spec = steps.keyed(made.spec)
        try:
            job = self.client.ended(spec, made.blobs)
        except ModuleNotFound:  # it was removed since
            if not self.forget():
                raise
            return self(*args)
        except (KeyboardInterrupt, SystemExit):
            self.client.perform(steps.abandon(spec))
            raise
        return self._value(job)

    def submit(self, *args: Any) -> Job[Any]:
        """The same call as a future."""
        made = self.request(args)
        try:
            view = self.client.submit_spec(made.spec, made.blobs)
        except ModuleNotFound:
            if not self.forget():
                raise
            return self.submit(*args)
        endings.warn(view)
        return self.follow(view)

    def follow(self, view: views.Job) -> Job[Any]:
        """The future of a call's job: what the function returned."""
        return self.client.follow(view, self._value)

    def map(self, *iterables: Iterable[Any], **how: Any) -> Mapped[Any]:
        """An iterator over `f(x, y, ...)` for the first elements of all `iterables`, the second, and so on.

        Keywords are those of `Client.map`: `ordered`, `return_exceptions`, `progress`, and what a job may ask for.
        """
        return self.starmap(zip(*iterables, strict=False), **how)

    def starmap(self, every: Iterable[Iterable[Any]], **how: Any) -> Mapped[Any]:
        """An iterator over `f(*args)` for each element of `every`."""
        calls = (list(args) for args in every)
        return self.client.map(self.program, calls, function=self.__name__, **{**self.asked, **how})

    def _value(self, job: views.Job) -> Any:
        self.learn(job)
        return self.client.result_of_job(job).check().return_value


def word(value: Any) -> str:
    """An argument as the words of a call are read: by the type of their parameter, so text is as it is."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and not math.isfinite(value):
        return jsontexts.of_value(value).decode().strip('"')
    return jsontexts.of_value(value).decode()


def declared(source: Program, name: str) -> str | None:
    """The line of the source that declares the function; None where there is none that looks like it."""
    if isinstance(source, str) and "\n" not in source and not program.exists(source):
        return None
    pattern = rf"^[^\S\n]*(?!return\b|//|#|\*)([\w:<>&*\[\] ,'\"()-]*?\b{re.escape(name)}\s*(?:<[^>\n]*>)?\([^;{{\n]*)"
    found = re.search(pattern, program.text_of(source), re.MULTILINE)
    return found[1].strip().rstrip("{:").strip()[:SIGNATURE_CHARS] if found else None
