"""`job.toml`: a job as a file. Its keys are the flags, its values are checked as theirs; see docs/job-files.md.

There is no second list of keys: they are made of the command's own flags, so a new flag is a new key.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from wasmgrid.cli.params import Duration, Factor, FileName, InputArgument, Pair, Size, Variable
from wasmgrid.core.digest import is_sha256
from wasmgrid.core.errors import InvalidField, InvalidPath, InvalidRequest
from wasmgrid.sdk.given import GivenInput

SUFFIX = ".toml"
PROGRAM = ("source", "module")  # what is run: exactly one of them
ARGUMENTS = "args"
_ABOUT_PRINTING = {"quiet", "detach", "as_json", "server", "help"}  # of the command, not of the job
_ONE_OF = ({"each_line", "from_json"},)  # a flag of these on the command line replaces the file's other one
_NO_MODULES = {"Cargo.toml", "pyproject.toml"}


@dataclass(frozen=True)
class JobFile:
    """What a file says: the program (a path as the command line would have it), and values by their flag's name."""

    program: str
    values: Mapping[str, Any]


def is_job_file(program: str) -> bool:
    """Whether what was named to be run is a job file."""
    path = Path(program)
    return path.suffix == SUFFIX and path.is_file()


def keys(options: Iterable[click.Parameter]) -> dict[str, click.Option]:
    """Every key that a job file may have beside the program and its arguments, with the flag that it is.

    A flag is found under its long names with `_` for `-`, and under the key of the request.
    """
    flags = [each for each in options if isinstance(each, click.Option) and each.name not in _ABOUT_PRINTING]
    named = [(name[2:].replace("-", "_"), each) for each in flags for name in each.opts if name.startswith("--")]
    return {each.name or "": each for each in flags} | dict(named)


def merged(context: click.Context, program: str, given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """(the program, what is asked of it): the file's, and what was given on the command line before it.

    Variables and labels of both are taken together, anything else that was given stands for the file's. A program that
    is no job file comes back as it is.
    """
    if not is_job_file(program):
        return program, dict(given)
    file = read(Path(program), context)
    typed = {name for name in given if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE}
    taken = {name: value for name, value in file.values.items() if name not in typed and not _replaced(name, typed)}
    for name in typed & set(file.values) & {"env", "require", "prefer"}:
        taken[name] = (*file.values[name], *given[name])
    if given[ARGUMENTS]:
        taken.pop(ARGUMENTS, None)
    return file.program, {**given, **taken}


def read(path: Path, context: click.Context) -> JobFile:
    """A job file by the flags of the command in `context`. Raises `InvalidField` that says where, and what to write."""
    try:
        text = path.read_text(encoding="utf-8")
        table = tomllib.loads(text)
    except UnicodeDecodeError:
        raise InvalidRequest(f"{path} is not UTF-8 text", hint="write it as docs/job-files.md has it") from None
    except tomllib.TOMLDecodeError as error:
        raise InvalidRequest(f"{path} is no TOML: {error}", hint='text goes in quotes: name = "sweep"') from None
    except RecursionError:
        raise InvalidRequest(f"{path} nests its values too deep", hint="no key of a job file needs that") from None
    except OSError as error:
        raise InvalidPath(f"{path} cannot be read: {error.strerror}") from None
    if path.name in _NO_MODULES and not set(PROGRAM) & set(table):
        raise InvalidField(f"{path} is no job file", hint=f"run its directory: wasmgrid run {path.parent}")
    return _Reader(path, _lines(text), context).job(table)


class _Reader:
    """One file's tables turned into what its flags would have given."""

    def __init__(self, path: Path, lines: Mapping[str, int], context: click.Context) -> None:
        self._path = path
        self._lines = lines
        self._context = context
        self._flags = keys(context.command.params)

    def job(self, table: dict[str, Any]) -> JobFile:
        program = self._program(table)
        values: dict[str, Any] = {}
        said: dict[str, str] = {}
        for key, value in table.items():
            if key in PROGRAM:
                continue
            if key == ARGUMENTS:
                values[ARGUMENTS] = tuple(self._texts(key, value))
                continue
            flag = self._flags.get(key)
            if flag is None or flag.name is None:
                raise self._unknown(key)
            if flag.name in said:
                raise self._wrong(key, f"{key} is {said[flag.name]}, which is there, too", "leave one of them out")
            said[flag.name] = key
            values[flag.name] = self._value(key, flag, value)
        return JobFile(program, values)

    def _program(self, table: Mapping[str, Any]) -> str:
        named = [key for key in PROGRAM if key in table]
        if len(named) != 1:
            what = "is both source and module" if named else "names no program"
            hint = 'say source = "main.rs" (a file or a directory), or module = "main.wasm"'
            raise InvalidField(f"{self._path} {what}", hint=hint, field="source")
        key = named[0]
        value = self._text(key, table[key])
        if key == "module" and is_sha256(value):
            return value
        if not value:
            raise self._wrong(key, f"{key} is empty", 'for the directory of the job file: source = "."')
        place = self._path.parent / value
        if not place.exists():
            raise self._wrong(key, f"there is no {place}", "a path is relative to the job file")
        return str(place)

    def _value(self, key: str, flag: click.Option, value: Any) -> Any:
        """`value` as the flag would have given it."""
        kind = flag.type
        if flag.is_flag:
            return value if isinstance(value, bool) else self._refuse(key, "true or false", value)
        if isinstance(kind, Pair | Variable) and isinstance(value, dict):
            pairs = [(name, self._text(f"{key}.{name}", each)) for name, each in value.items()]
            value = [f"{name}={each}" for name, each in pairs]
        if not flag.multiple:
            return self._converted(key, flag, self._single(key, flag, value))
        return tuple(self._converted(key, flag, self._placed(kind, each)) for each in self._texts(key, value))

    def _single(self, key: str, flag: click.Option, value: Any) -> Any:
        kind = flag.type
        whole = isinstance(value, int) and not isinstance(value, bool)
        number = whole or isinstance(value, float)
        if isinstance(kind, click.types.IntParamType):
            return value if whole else self._refuse(key, "a whole number", value)
        if isinstance(kind, click.types.FloatParamType):
            return value if number else self._refuse(key, "a number", value)
        if isinstance(kind, Duration | Size | Factor) and number:
            return value
        if not isinstance(value, str):
            self._refuse(key, "text in quotes", value)
        return self._placed(kind, value)

    def _placed(self, kind: click.ParamType[Any], value: str) -> Any:
        """A file's name as it is from here."""
        if isinstance(kind, FileName) and value != "-":
            return str(self._path.parent / value)
        if isinstance(kind, InputArgument):
            given = GivenInput.parse(value)
            return GivenInput(self._path.parent / given.path, given.guest, given.writable)
        return value

    def _converted(self, key: str, flag: click.Option, value: Any) -> Any:
        try:
            return flag.type.convert(value, flag, self._context)
        except click.BadParameter as error:
            raise self._wrong(key, f"{key}: {error.message}", None) from None

    def _texts(self, key: str, value: Any) -> Sequence[str]:
        """A list of text; numbers in it are what they are written as."""
        if not isinstance(value, list):
            self._refuse(key, 'a list: ["one", "two"]', value)
        return [self._text(key, each) for each in value]

    def _text(self, key: str, value: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            self._refuse(key, "text in quotes", value)
        return str(value)

    def _refuse(self, key: str, wanted: str, value: Any) -> Any:
        kinds = {
            bool: "true or false",
            int: "a number",
            float: "a number",
            str: "text",
            list: "a list",
            dict: "a table",
        }
        found = kinds.get(type(value), "a date")
        raise self._wrong(key, f"{key} is {wanted}, not {found}", None)

    def _unknown(self, key: str) -> InvalidField:
        import difflib  # noqa: PLC0415 -- only a typing error needs it

        near = difflib.get_close_matches(key, [*self._flags, *PROGRAM, ARGUMENTS], n=1)
        hint = f"did you mean {near[0]}?" if near else "all keys are the flags of: wasmgrid submit --help"
        return self._wrong(key, f"there is no key {key!r}", hint)

    def _wrong(self, key: str, message: str, hint: str | None) -> InvalidField:
        line = self._lines.get(key) or self._lines.get(key.partition(".")[0])
        place = str(self._path) + (f":{line}" if line else "")
        return InvalidField(f"{place}: {message}", hint=hint, field=key)


def _replaced(name: str, typed: set[str]) -> bool:
    return any(name in group and typed & group for group in _ONE_OF)


def _lines(text: str) -> dict[str, int]:
    """The line on which each key stands, `table.key` for one of a table; of what TOML can do, what people write."""
    found: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), start=1):
        header = re.match(r"\s*\[\[?\s*([\w.-]+)\s*\]", line)
        key = re.match(r"\s*[\"']?([\w.-]+)[\"']?\s*=", line)
        if header is not None:
            table = header[1] + "."
            found.setdefault(header[1], number)
        elif key is not None:
            found.setdefault(table + key[1], number)
    return found
