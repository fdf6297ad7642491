"""The protocol: tools and their schemas listed, calls answered, failures told as values. Loads the package `mcp`."""

from __future__ import annotations

import json
import logging
import signal
import sys
from typing import Any

import anyio
import mcp_types as types
import msgspec
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp.server.stdio import stdio_server

from wasmgrid import __version__
from wasmgrid.core.errors import InvalidField, WasmgridError
from wasmgrid.core.printable import one_line
from wasmgrid.mcp.answers import Answer, Failure, JobAnswer, Piece, harmless
from wasmgrid.mcp.session import Session
from wasmgrid.mcp.tools import TOOLS, Tool

INSTRUCTIONS = (
    "Runs programs in many languages in a sandbox, under limits. run_code takes source text and gives back what it "
    "printed; run_function calls one function for many inputs. A call that fails says why, and what to do."
)

Context = ServerRequestContext[Any]


def server_of(session: Session) -> Server[Any]:
    """An MCP server with this session's tools."""
    tools = {tool.name: tool for tool in TOOLS}

    async def list_tools(_: Context, __: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[_described(tool) for tool in TOOLS])

    async def call_tool(context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        return _result(await answered(session, tools.get(params.name), params, context))

    return Server(
        "wasmgrid",
        version=__version__,
        title="wasmgrid",
        instructions=INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


async def serve(session: Session) -> None:
    """Answer an agent on stdin and stdout until it closes them, or this process is told to end.

    Either way the requests that are still open are cancelled, and their jobs with them.
    """
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s")
    server = server_of(session)
    async with anyio.create_task_group() as group:
        group.start_soon(_end_when_told, group.cancel_scope)
        async with stdio_server() as (incoming, outgoing):
            await server.run(incoming, outgoing, server.create_initialization_options())
        group.cancel_scope.cancel()


async def _end_when_told(scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        async for _ in signals:
            scope.cancel()
            return


async def answered(
    session: Session, tool: Tool | None, params: types.CallToolRequestParams, context: Context
) -> Answer:
    """What a call gives; what fails of it is a value, too."""
    number = 0

    async def report(text: str) -> None:
        nonlocal number
        number += 1
        await context.session.report_progress(number, message=one_line(text))

    try:
        if tool is None:
            names = ", ".join(each.name for each in TOOLS)
            raise InvalidField(f"there is no tool {params.name[:100]!r}", hint=f"they are {names}", field="name")
        return await tool.run(session, _arguments(tool, params.arguments or {}), report)
    except WasmgridError as error:
        return Failure(error=error.code, message=error.message, hint=error.hint, field=error.field)


def _arguments(tool: Tool, given: dict[str, Any]) -> Any:
    """The arguments as the tool takes them; numbers in quotes are numbers, as agents write them."""
    try:
        return msgspec.convert(given, tool.arguments, strict=False)
    except msgspec.ValidationError as error:
        known = ", ".join(tool.arguments.__struct_fields__) or "none"
        raise InvalidField(str(error), hint=f"{tool.name} takes: {known}") from None


def _described(tool: Tool) -> types.Tool:
    return types.Tool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=schema(tool.arguments),
        output_schema=schema(tool.answer),
        annotations=types.ToolAnnotations(
            title=tool.title,
            read_only_hint=tool.reads_only,
            destructive_hint=tool.destroys,
            idempotent_hint=tool.reads_only or tool.destroys,
            open_world_hint=False,
        ),
    )


def schema(kind: type[Any]) -> dict[str, Any]:
    """The JSON schema of a struct, an object at its root, without the docstrings that are ours."""
    (_,), components = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    root: dict[str, Any] = components.pop(kind.__name__)
    for each in (root, *components.values()):
        each.pop("description", None)
    return {**root, "$defs": components} if components else root


def _result(answer: Answer) -> types.CallToolResult:
    """The answer as JSON, structured and as text for clients that know no other; a picture as a picture beside it."""
    structured = harmless(msgspec.to_builtins(answer))
    content: list[types.ContentBlock] = []
    if isinstance(answer, Piece) and answer.picture is not None:
        content.append(types.ImageContent(type="image", data=structured.pop("base64"), mime_type=answer.picture))
    content.append(types.TextContent(type="text", text=json.dumps(structured, ensure_ascii=False)))
    return types.CallToolResult(content=content, structured_content=structured, is_error=_failed(answer))


def _failed(answer: Answer) -> bool:
    """Whether the agent should look closer: the request came to nothing, or the program did not succeed."""
    return isinstance(answer, Failure) or (isinstance(answer, JobAnswer) and answer.state in {"failed", "cancelled"})
