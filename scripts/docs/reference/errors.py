"""Every code of our failures, with its HTTP status, what it means and what to do about it."""

from __future__ import annotations

import inspect
from http import HTTPStatus

from scripts.docs.reference.table import code, table

from wasmgrid.core.errors import WasmgridError
from wasmgrid.server.problems import STATUS

MARK = "What to do: "
# Codes without a class: the web framework's own refusals.
OTHERS = {"method_not_allowed": ("The route exists, but not for this method.", "see the [routes](http.md)")}


def classes(base: type[WasmgridError] = WasmgridError) -> list[type[WasmgridError]]:
    """All classes of the tree, parents first."""
    return [base, *(child for each in base.__subclasses__() for child in classes(each))]


def page() -> str:
    """The table."""
    rows = [_row(each) for each in classes() if each.__module__ == WasmgridError.__module__]
    rows += [["", code(name), status(name), *words] for name, words in OTHERS.items()]
    rows.sort(key=lambda row: row[1])
    heading = ["code", "status", "class", "what happened", "what to do"]
    return table(heading, ([code_, status_, name, *rest] for name, code_, status_, *rest in rows))


def status(name: str) -> str:
    """The HTTP status of a code, with its words."""
    number = STATUS.get(name, 500)
    return f"{number} {HTTPStatus(number).phrase}"


def _row(error: type[WasmgridError]) -> list[str]:
    meaning, _, advice = inspect.cleandoc(error.__doc__ or "").partition(MARK)
    if error is WasmgridError:
        meaning, advice = "A bug of wasmgrid's own.", "look up the incident's number in the server's log, and report it"
    assert advice, f"the docstring of {error.__name__} does not say: {MARK}..."
    return [code(error.__name__), code(error.code), status(error.code), meaning.strip(), advice.strip()]
