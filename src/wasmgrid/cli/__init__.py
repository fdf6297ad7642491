"""Stage 1, the person's half: commands that parse, call and render. Business logic is elsewhere.

Commands are loaded when they are named; nothing heavy is imported by any that only asks a server.
"""

from __future__ import annotations

import sys
from types import TracebackType


def _end_quietly(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A Ctrl-C before `main` runs, while modules are read, is no failure that anybody wants to read about."""
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _end_quietly
