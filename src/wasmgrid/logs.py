"""Where a long-running process writes its log: a rotating file under the home, and what matters on stderr too.

A line is an event and what it is about: `job`, `attempt`, `worker` and the like, under the same names everywhere; what
is bound with `about` is in every line of the process. As text, or with `json` as an object a line.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

import msgspec
import structlog

_FILE_BYTES = 8 << 20
_FILES_KEPT = 3
HIDDEN = "[hidden]"

_SECRET_KEYS = frozenset({"authorization", "cookie", "credential", "password", "seed", "secret", "token"})
_SECRETS = re.compile(
    r"(?P<url>[a-z][a-z0-9+.-]*://)[^/@\s\"']*@"  # who it is, and the password, before a host
    r"|\bS[UAOCNX][A-Z2-7]{56}\b"  # seeds of nkeys
    r"|(?i:\bbearer\s+)\S+"
)


def configure(path: Path, *, verbose: bool = False, json: bool = False) -> None:
    """Send all logging, structlog's and the standard library's, to `path`; warnings (with `verbose` all) to stderr.

    In text, values are shown as Python literals: what a job is named cannot move a terminal's cursor. Secrets that got
    into a line are hidden.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    ends: list[structlog.typing.Processor]
    if json:
        ends = [
            structlog.processors.format_exc_info,
            _hide_secrets,
            structlog.processors.JSONRenderer(serializer=_as_json),
        ]
    else:
        renderer = structlog.dev.ConsoleRenderer(
            colors=False,
            repr_native_str=True,
            pad_event_to=0,
            exception_formatter=structlog.dev.plain_traceback,
        )
        ends = [_hide_secrets, renderer]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ends],
    )
    file = RotatingFileHandler(path, maxBytes=_FILE_BYTES, backupCount=_FILES_KEPT, encoding="utf-8", delay=True)
    stderr = logging.StreamHandler(sys.stderr)
    stderr.setLevel(logging.INFO if verbose else logging.WARNING)
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    for handler in (file, stderr):
        handler.setFormatter(formatter)
        root.addHandler(handler)
    root.setLevel(logging.INFO)
    for talkative in ("httpx", "alembic", "uvicorn.access", "uvicorn.error"):
        logging.getLogger(talkative).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def about(**values: str) -> None:
    """Have this in every line from now on, also in those of tasks that begin later."""
    structlog.contextvars.bind_contextvars(**values)


def without_secrets(text: str) -> str:
    """The text with passwords in URLs, seeds and bearer tokens hidden."""
    return _SECRETS.sub(lambda found: f"{found['url']}{HIDDEN}@" if found["url"] else HIDDEN, text)


def _hide_secrets(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if key in _SECRET_KEYS:
            event[key] = HIDDEN
        elif isinstance(value, str):
            event[key] = without_secrets(value)
    return event


def _as_json(event: dict[str, Any], **_: Any) -> str:
    return msgspec.json.encode(event, enc_hook=repr).decode()
