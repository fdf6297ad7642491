"""The OpenAPI document, served as JSON and without any page from elsewhere.

Litestar writes it from the routes; bodies that routes read themselves, and the schemas of our structs with all their
bounds, are put in from msgspec.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec
from litestar.connection import Request
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig, ResponseSpec
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme

from wasmgrid import __version__
from wasmgrid.core.job import JobSpec, JobView, Source
from wasmgrid.core.lifecycle import JobState
from wasmgrid.server.guards import OPEN_PATHS
from wasmgrid.server.problems import MEDIA_TYPE, Problem

REF = "#/components/schemas/{name}"
BINARY = {"schema": {"type": "string", "format": "binary"}}


def problems(*statuses: int) -> dict[int, ResponseSpec]:
    """The problems that a route may answer with, beside 401, 403 and 503, which any route may."""
    return {
        status: ResponseSpec(
            Problem, generate_examples=False, description=HTTPStatus(status).phrase, media_type=MEDIA_TYPE
        )
        for status in (*statuses, 401, 403)
    }


def also(status: int, answer: type[msgspec.Struct]) -> dict[int, ResponseSpec]:
    """Another status with which a route may answer."""
    description = HTTPStatus(status).phrase
    return {status: ResponseSpec(answer, generate_examples=False, description=description)}


def _operation_id(handler: HTTPRouteHandler, _method: object, _path: object) -> str:
    return handler.handler_name


def config(*bodies: type[msgspec.Struct]) -> OpenAPIConfig:
    """What Litestar needs; `bodies` are further structs that come in as JSON, by the name that `_BODIES` has."""
    return OpenAPIConfig(
        title="wasmgrid",
        version=__version__,
        description="Run code you didn't write: compiled in a sandbox, matched to a worker, held to exact limits.",
        path="/schema",
        operation_id_creator=_operation_id,
        render_plugins=[_Document(bodies)],
        use_handler_docstrings=True,
        components=Components(security_schemes={"token": SecurityScheme(type="http", scheme="bearer")}),
        security=[{"token": []}],
    )


_BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("/v1/jobs", "post"): {
        "application/json": {"schema": {"$ref": REF.format(name="JobSpec")}},
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["spec"],
                "properties": {"spec": {"$ref": REF.format(name="JobSpec")}},
                "additionalProperties": {"type": "string", "format": "binary"},
            },
            "encoding": {"spec": {"contentType": "application/json"}},
        },
    },
    ("/v1/jobs:batch", "post"): {
        "application/json": {
            "schema": {"type": "array", "items": {"$ref": REF.format(name="JobSpec")}, "maxItems": 1000}
        }
    },
    ("/v1/jobs:wait", "post"): {
        "application/json": {"schema": {"type": "array", "items": {"type": "integer"}, "maxItems": 10_000}}
    },
    ("/v1/jobs/{job}/rerun", "post"): {"application/json": {"schema": {"type": "object"}}},
    ("/v1/modules/{sha256}", "put"): {"application/wasm": BINARY},
    ("/v1/inputs/{sha256}", "put"): {"application/octet-stream": BINARY},
    ("/v1/credentials", "post"): {"application/json": {"schema": {"$ref": REF.format(name="CredentialRequest")}}},
    ("/v1/prune", "post"): {"application/json": {"schema": {"$ref": REF.format(name="PruneRequest")}}},
}


_PARAMETERS: dict[str, dict[str, Any]] = {
    "state": {"type": "array", "items": {"enum": [*JobState]}},
    "cursor": {"type": "string", "pattern": "^[0-9]{1,18}(-[0-9]{1,18})?$"},
}


class _Document(JsonRenderPlugin):
    def __init__(self, bodies: tuple[type[msgspec.Struct], ...]) -> None:
        super().__init__(path=["/", "/openapi.json"])
        self._structs = (JobSpec, JobView, Source, Problem, *bodies)

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        _, schemas = msgspec.json.schema_components(self._structs, ref_template=REF)
        schemas["JobSpec"]["oneOf"] = [{"required": ["source"]}, {"required": ["module_sha256"]}]
        openapi_schema["components"].setdefault("schemas", {}).update(schemas)
        for path, operations in openapi_schema["paths"].items():
            for method, operation in operations.items():
                _complete(operation, _BODIES.get((path, method)))
                if path in OPEN_PATHS:
                    operation["security"] = []
        document = self.render_json(request, openapi_schema)
        return document.replace(rb'\\Z"', b'$"')  # JSON Schema's regular expressions have no \\Z


def _complete(operation: dict[str, Any], body: dict[str, Any] | None) -> None:
    """What Litestar cannot know: bodies that a route reads itself, parameters that it parses itself, our problems."""
    if body is not None:
        operation["requestBody"] = {"required": operation["operationId"] not in {"prune", "rerun"}, "content": body}
    for parameter in operation.get("parameters", ()):
        parameter["schema"] = _PARAMETERS.get(parameter["name"], parameter["schema"])
    answers = operation["responses"]
    if "400" in answers and MEDIA_TYPE not in answers["400"].get("content", {}):
        del answers["400"]  # Litestar's word for what is our 422
