"""Problems become the errors they were; what is unknown keeps its name."""

from __future__ import annotations

import msgspec
import pytest

from wasmgrid.core import errors
from wasmgrid.core.errors import WasmgridError
from wasmgrid.sdk.problems import error_named, error_of


def problem(**fields: object) -> bytes:
    return msgspec.json.encode({"type": "urn:x", "title": "T", "status": 404, **fields})


def test_a_known_code_is_its_class() -> None:
    error = error_of(404, problem(detail="no job 99", code="job_not_found", hint="latest is 3", field="id"))
    assert isinstance(error, errors.JobNotFound)
    assert (error.message, error.hint, error.field) == ("no job 99", "latest is 3", "id")
    assert str(error) == "error[job_not_found]: no job 99 · latest is 3"


def test_every_code_of_the_tree_is_known() -> None:
    known = (kind for kind in WasmgridError.__subclasses__() if kind.__module__ == errors.__name__)
    kinds: list[type[WasmgridError]] = [WasmgridError, *known, errors.InvalidPath]
    for kind in kinds:
        assert type(error_of(400, problem(detail="x", code=kind.code))) is kind


def test_an_unknown_code_keeps_its_name() -> None:
    error = error_of(418, problem(detail="short and stout", code="teapot", brand_new_key=[1]))
    assert isinstance(error, WasmgridError)
    assert str(error) == "error[teapot]: short and stout"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, errors.Unauthorized), (413, errors.TooLarge), (500, errors.Unavailable), (502, errors.Unreachable),
     (404, errors.NotFound), (499, errors.InvalidRequest)],
)  # fmt: skip
def test_an_answer_that_is_no_problem(status: int, kind: type[WasmgridError]) -> None:
    error = error_of(status, b"<html>Bad Gateway</html>")
    assert type(error) is kind
    assert str(status) in error.message


def test_error_by_name() -> None:
    assert isinstance(error_named("home_in_use", "taken"), errors.HomeInUse)
