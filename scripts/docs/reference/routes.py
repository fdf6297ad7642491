"""Every route and every structure of the HTTP API, from the OpenAPI document that a server gives at `/schema`."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, cast

import httpx
from scripts.docs.reference.table import code, table

from wasmgrid.server.app import create_app

ALWAYS = {"401", "403"}  # any route


def routes() -> str:
    """Each route, below a heading for its tag."""
    parts = []
    for tag, operations in _by_tag(openapi()).items():
        parts.append(f"\n## {tag[0].upper()}{tag[1:]}\n")
        for method, path, operation in operations:
            parts += _operation(method, path, operation)
    return "\n".join(parts)


def structures() -> str:
    """Each structure of bodies and answers."""
    schemas = openapi()["components"]["schemas"]
    return "\n".join(part for name, schema in sorted(schemas.items()) for part in _structure(name, schema))


@cache
def openapi() -> dict[str, Any]:
    """The document, from an application that has nothing behind it."""
    nothing = cast("Any", None)
    app = create_app(store=nothing, control=nothing, token="-", home=Path(), admission=nothing)  # noqa: S106

    async def get() -> dict[str, Any]:
        transport = httpx.ASGITransport(app=cast("Any", app))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            answer = await client.get("/schema/openapi.json")
        return cast("dict[str, Any]", answer.raise_for_status().json())

    return asyncio.run(get())


def _by_tag(document: dict[str, Any]) -> dict[str, list[tuple[str, str, dict[str, Any]]]]:
    found: dict[str, list[tuple[str, str, dict[str, Any]]]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            tag = (operation.get("tags") or ["others"])[0]
            found.setdefault(tag, []).append((method.upper(), path, operation))
    return found


def _operation(method: str, path: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f"\n### {operation.get('summary') or operation['operationId']}\n"
    yield f"`{method} {path}`\n"
    yield f"{inspect.cleandoc(operation.get('description') or '')}\n"
    parameters = operation.get("parameters") or ()
    if parameters:
        rows = (
            [code(each["name"]), each["in"], kind(each["schema"]), each.get("description") or ""] for each in parameters
        )
        yield table(["parameter", "in", "type", "meaning"], rows)
    body = operation.get("requestBody")
    if body:
        yield f"\nBody: {_contents(body['content'])}{'' if body.get('required') else ' (optional)'}\n"
    answers = operation["responses"]
    good = [
        f"{status} {_contents(each.get('content') or {})}".strip()
        for status, each in sorted(answers.items())
        if status < "400"
    ]
    bad = [status for status in sorted(answers) if status >= "400" and status not in ALWAYS]
    yield f"\nAnswers: {' · '.join(good)}{' · problems: ' + ', '.join(bad) if bad else ''}\n"


def _contents(contents: dict[str, Any]) -> str:
    return " or ".join(f"{kind(each.get('schema') or {})} ({code(media)})" for media, each in contents.items())


def _structure(name: str, schema: dict[str, Any]) -> Iterator[str]:
    yield f"\n### {name}\n"
    yield f"{inspect.cleandoc(schema.get('description') or '')}\n"
    if "enum" in schema:
        yield f"One of {', '.join(map(code, schema['enum']))}.\n"
    properties = schema.get("properties") or {}
    if properties:
        wanted = set(schema.get("required") or ())
        rows = ([code(key), kind(each), _default(each, wanted=key in wanted)] for key, each in properties.items())
        yield table(["key", "type", "default"], rows)


def _default(schema: dict[str, Any], *, wanted: bool) -> str:
    if "default" not in schema:
        return "must be there" if wanted else ""
    value = schema["default"]
    return "" if value in (None, [], {}, "") else code(str(value).lower() if isinstance(value, bool) else str(value))


BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "over {}",
    "maximum": "at most {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "maxItems": "at most {} of them",
    "pattern": "`{}`",
}


def kind(schema: dict[str, Any]) -> str:
    """A JSON Schema in words."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})"
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " or ".join(dict.fromkeys(kind(each) for each in schema[key]))
    if "enum" in schema:
        return " · ".join(code(str(each)) for each in schema["enum"])
    named = schema.get("format") or schema.get("type") or "any"
    said = named if isinstance(named, str) else " or ".join(named)
    if said == "array":
        said = f"list of {kind(schema.get('items') or {})}"
    elif "additionalProperties" in schema and isinstance(schema["additionalProperties"], dict):
        said = f"object of {kind(schema['additionalProperties'])}"
    bounds = [words.format(schema[key]) for key, words in BOUNDS.items() if key in schema]
    return ", ".join([said, *bounds])
