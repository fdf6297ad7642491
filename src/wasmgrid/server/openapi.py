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
    ("/v1/modules/{sha256}", "put"): {"application/wasm": BINARY},
    ("/v1/inputs/{sha256}", "put"): {"application/octet-stream": BINARY},
    ("/v1/prune", "post"): {"application/json": {"schema": {"$ref": REF.format(name="PruneRequest")}}},
}


class _Document(JsonRenderPlugin):
    def __init__(self, bodies: tuple[type[msgspec.Struct], ...]) -> None:
        super().__init__(path=["/", "/openapi.json"])
        self._structs = (JobSpec, JobView, Source, Problem, *bodies)

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        _, schemas = msgspec.json.schema_components(self._structs, ref_template=REF)
        openapi_schema["components"].setdefault("schemas", {}).update(schemas)
        for (path, method), content in _BODIES.items():
            openapi_schema["paths"][path][method]["requestBody"] = {
                "required": path != "/v1/prune",
                "content": content,
            }
        return self.render_json(request, openapi_schema)
