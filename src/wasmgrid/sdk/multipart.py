"""A submission as bytes: JSON, or multipart where the source is too large to be quoted."""

from __future__ import annotations

import os

import msgspec

from wasmgrid.core.job import Base64, JobSpec, Source

INLINE_SOURCE_BYTES = 512 * 1024  # sources up to this travel inside the JSON, larger ones as multipart
_BLANK = JobSpec()


def submission(spec: JobSpec) -> tuple[bytes, str]:
    """(body, content type) of a request."""
    if spec.source is None or _source_bytes(spec.source) <= INLINE_SOURCE_BYTES:
        return given(spec), "application/json"
    boundary = os.urandom(16).hex()
    bare = msgspec.structs.replace(spec, source=msgspec.structs.replace(spec.source, files={}))
    parts = [_part(boundary, 'name="spec"', "application/json", given(bare))]
    for path, content in spec.source.files.items():
        data = content.encode() if isinstance(content, str) else content.base64
        name = f'name="source"; filename="{_quoted(path)}"'
        parts.append(_part(boundary, name, "application/octet-stream", data))
    return b"".join([*parts, f"--{boundary}--\r\n".encode()]), f"multipart/form-data; boundary={boundary}"


def given(spec: JobSpec) -> bytes:
    """A request as JSON.

    What has its default is left out, so that a server that does not know a new key yet takes the request.
    """
    return msgspec.json.encode(
        {key: value for key in spec.__struct_fields__ if (value := getattr(spec, key)) != getattr(_BLANK, key)}
    )


def _part(boundary: str, disposition: str, content_type: str, data: bytes) -> bytes:
    head = f"--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\nContent-Type: {content_type}\r\n\r\n"
    return head.encode() + data + b"\r\n"


def _quoted(path: str) -> str:
    # as browsers write names into multipart headers: https://html.spec.whatwg.org/#multipart-form-data
    return path.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _source_bytes(source: Source) -> int:
    return sum(_content_bytes(content) for content in source.files.values())


def _content_bytes(content: str | Base64) -> int:
    return len(content) if isinstance(content, str) else len(content.base64)
