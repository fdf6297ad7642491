"""Request bodies as structs, strictly: what is not JSON is told apart from what is not a request.

Malformed, doubled keys or too deep: `InvalidRequest` (400). Unknown keys, a wrong type, out of range: `InvalidField`
(422) that names the key in our words. Cost is linear in the body, and small before the first thing that is wrong.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from wasmgrid.core.errors import InvalidField, InvalidRequest

T = TypeVar("T", bound=msgspec.Struct)

_AT = re.compile(r" - at `\$\.?(.*)`$")
_NOT_FINITE = re.compile(rb'"([^"\\]{1,100})"\s*:\s*-?(?:NaN|Infinity)')
_BYTE = re.compile(r"\(byte (\d+)\)")
_NAMES = {
    "int": "a whole number",
    "float": "a number",
    "str": "a string",
    "bool": "true or false",
    "object": "an object",
    "array": "a list",
    "null": "null",
    "bytes": "a base64 string",
}
_BOUNDS = {">=": "at least", ">": "over", "<=": "at most", "<": "under"}
_WORDS: list[tuple[re.Pattern[str], Callable[[re.Match[str]], str]]] = [
    (re.compile(r"Expected `(.+)`, got `(.+)`"), lambda m: f"must be {_name(m[1])}, not {_name(m[2])}"),
    (re.compile(r"Expected `(?:int|float)` (>=|>|<=|<) (.+)"), lambda m: f"must be {_BOUNDS[m[1]]} {_number(m[2])}"),
    (re.compile(r"Expected `str` of length (>=|<=) (\d+)"), lambda m: f"must have {_BOUNDS[m[1]]} {m[2]} characters"),
    (re.compile(r"Expected `array` of length (>=|<=) (\d+)"), lambda m: f"must have {_BOUNDS[m[1]]} {m[2]} items"),
    (
        re.compile(r"Expected `str` matching regex '\^\(([^)]*)\)\\\\Z'"),
        lambda m: f"must be {' or '.join(m[1].split('|'))}",
    ),
    (re.compile(r"Expected `str` matching regex '\^\[0-9a-f\]\{64\}.*"), lambda _: "must be a sha256: 64 hex digits"),
    (re.compile(r"Invalid enum value (.*)"), lambda m: f"cannot be {m[1]}"),
    (re.compile(r"Number out of range"), lambda _: "must be a finite number"),
    (re.compile(r"Invalid base64 encoded string"), lambda _: "must be base64"),
]


def decode(body: bytes | bytearray, kind: type[T]) -> T:
    """`body` as a `kind`; see the module for what is raised."""
    try:
        value = msgspec.json.decode(body, type=kind)
        json.loads(body, object_pairs_hook=_refuse_doubles)
    except msgspec.ValidationError as error:
        raise _invalid(error, body, kind) from error
    except (msgspec.DecodeError, ValueError) as error:
        raise _malformed(error, body) from error
    except RecursionError as error:
        raise InvalidRequest("the JSON is nested too deeply") from error
    return value


def keys(body: bytes | bytearray) -> dict[str, msgspec.Raw]:
    """The keys of the object that `body` is, their values as they stand there; malformed ones raise as in `decode`."""
    try:
        found = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        json.loads(body, object_pairs_hook=_refuse_doubles)
    except msgspec.ValidationError as error:
        raise InvalidRequest("the body is no JSON object") from error
    except (msgspec.DecodeError, ValueError) as error:
        raise _malformed(error, body) from error
    except RecursionError as error:
        raise InvalidRequest("the JSON is nested too deeply") from error
    return found


def _refuse_doubles(pairs: list[tuple[str, Any]]) -> None:
    if len(pairs) > 1 and len({key for key, _ in pairs}) != len(pairs):
        seen: set[str] = set()
        double = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise InvalidRequest(f"the key {double[:200]!r} stands twice in one object", field=double[:200])


def _malformed(error: Exception, body: bytes | bytearray) -> InvalidField | InvalidRequest:
    at = _BYTE.search(str(error))
    if at is not None:
        bad = int(at[1])
        for match in _NOT_FINITE.finditer(body, max(0, bad - 200), bad + 20):
            if match.end() > bad:
                field = match[1].decode("utf-8", "replace")
                return InvalidField(f"{field} must be a finite number", field=field)
    if isinstance(error, UnicodeDecodeError):
        return InvalidRequest("the body is not UTF-8", hint='send bytes that are no text as {"base64": "..."}')
    reason = str(error).removeprefix("JSON is malformed: ") or "it ends too early"
    return InvalidRequest(f"the body is not JSON: {reason}"[:300])


def _invalid(error: msgspec.ValidationError, body: bytes | bytearray, kind: type[msgspec.Struct]) -> Exception:
    said = str(error)
    at = _AT.search(said)
    path = at[1] if at else ""
    reason = said[: at.start()] if at else said
    if reason.startswith("Object contains unknown field"):
        return _unknown_keys(reason.partition("`")[2].rstrip("`"), path, body, kind)
    if reason.startswith("Object missing required field"):
        key = reason.partition("`")[2].rstrip("`")
        field = f"{path}.{key}" if path else key
        return InvalidField(f"{field} is missing", field=field)
    field = path.replace("[...]", "")
    return InvalidField(f"{field or 'the request'} {in_our_words(reason)}", field=field or None)


def _unknown_keys(first: str, path: str, body: bytes | bytearray, kind: type[msgspec.Struct]) -> Exception:
    """All unknown keys where they are at the top, else the first."""
    struct = _struct_at(path, kind)
    keys = [first]
    if not path:
        try:
            top = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        except RecursionError:
            return InvalidRequest("the JSON is nested too deeply")
        except (msgspec.DecodeError, ValueError) as error:
            return _malformed(error, body)
        keys = [key for key in top if key not in kind.__struct_fields__]
    prefix = f"{path.replace('[...]', '')}." if path else ""
    shown = [f"{prefix}{key}"[:200] for key in keys[:20]]
    return InvalidField(
        f"unknown {'key' if len(keys) == 1 else 'keys'}: {', '.join(shown)}",
        hint=_did_you_mean(keys, struct),
        field=shown[0],
    )


def _did_you_mean(keys: list[str], struct: type[msgspec.Struct] | None) -> str | None:
    if struct is None:
        return None
    fields = struct.__struct_fields__
    near = [match for key in keys[:20] for match in difflib.get_close_matches(key[:100], fields, n=1)]
    if near:
        return f"did you mean {', '.join(dict.fromkeys(near))}?"
    return f"known keys: {', '.join(fields)}"


def _struct_at(path: str, kind: type[msgspec.Struct]) -> type[msgspec.Struct] | None:
    """The struct that `path` leads to, where its names say so."""
    found: type[msgspec.Struct] | None = kind
    for name in re.findall(r"[A-Za-z_]\w*", path):
        if found is None:
            return None
        field = next((one for one in msgspec.structs.fields(found) if one.encode_name == name), None)
        found = _struct_in(field.type) if field is not None else None
    return found


def _struct_in(kind: Any) -> type[msgspec.Struct] | None:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind
    for inner in getattr(kind, "__args__", ()):
        found = _struct_in(inner)
        if found is not None:
            return found
    return None


def in_our_words(reason: str) -> str:
    """What msgspec says of a value, as the end of a sentence that begins with its name."""
    for pattern, words in _WORDS:
        match = pattern.fullmatch(reason)
        if match is not None:
            return words(match)
    return f"is not right: {reason}"[:300]


def _name(kinds: str) -> str:
    return " or ".join(_NAMES.get(kind, kind) for kind in kinds.split(" | "))


def _number(text: str) -> str:
    return text.removesuffix(".0")
