"""What is made of the code, each time the site is built: it cannot be out of date.

A page says where it goes: `<!-- from the code: NAME -->`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from scripts.docs.reference import commands, errors, metrics, outcomes, routes, settings

PARTS: dict[str, Callable[[], str]] = {
    "commands": commands.page,
    "routes": routes.routes,
    "structures": routes.structures,
    "outcomes": outcomes.page,
    "errors": errors.page,
    "metrics": metrics.page,
    "variables": settings.variables,
    "limits": settings.limits,
    "build limits": settings.build_limits,
    "leases": settings.leases,
}
MARK = re.compile(r"^<!-- from the code: ([a-z ]+) -->$", re.MULTILINE)


def filled(page: str) -> str:
    """`page` with every mark replaced."""
    return MARK.sub(lambda mark: PARTS[mark[1]](), page)
