"""A request over the operator's maximum is refused by the name of its field; and errors read well."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmgrid.core import errors
from wasmgrid.core.errors import InvalidField, WasmgridError
from wasmgrid.core.job import JobSpec, StoredSpec
from wasmgrid.core.limits import Ceiling

CEILING = Ceiling()
FIELDS = [field for field in Ceiling.__struct_fields__ if field in JobSpec.__struct_fields__]


@pytest.mark.parametrize("field", FIELDS)
def test_the_ceiling_itself_is_allowed_and_one_more_is_not(field: str) -> None:
    most = getattr(CEILING, field)
    CEILING.check(field, most)
    CEILING.check(field, None)
    with pytest.raises(InvalidField, match=f"{field} is .* at most") as caught:
        CEILING.check(field, most + 1)
    assert caught.value.field == field


def test_every_default_of_a_job_is_under_the_ceiling() -> None:
    for field in FIELDS:
        CEILING.check(field, getattr(JobSpec(), field))


@given(st.sampled_from(["stop", "truncate"]), st.integers(1, 4096), st.none() | st.integers(1, 1000))
def test_a_spec_knows_the_limits_of_its_attempts(overflow: str, memory_mb: int, fuel: int | None) -> None:
    limits = StoredSpec(memory_mb=memory_mb, fuel=fuel, output_overflow=overflow).limits
    assert (limits.memory_mb, limits.fuel, limits.truncate_output) == (memory_mb, fuel, overflow == "truncate")


@pytest.mark.parametrize(
    "body",
    [
        *(
            b'{"cpus": -1}',
            b'{"cpus": 0}',
            b'{"cpus": NaN}',
            b'{"memory_mb": 0}',
            b'{"memory_mb": 1e99}',
            b'{"gpus": -1}',
        ),
        *(b'{"time_limit_s": 0}', b'{"fuel": 0}', b'{"priority": 1001}', b'{"output_overflow": "explode"}'),
        *(b'{"module_sha256": "../../etc"}', b'{"name": 7}', b'{"env": {"A": 1}}'),
    ],
)
def test_hostile_55_values_that_cannot_be_are_refused_when_read(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(body, type=JobSpec)


def error_classes() -> list[type[WasmgridError]]:
    """Our own failures, all of them."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, WasmgridError)]
    return [kind for kind in kinds if kind is not WasmgridError]


def test_error_codes_are_stable_names_and_each_says_what_happened() -> None:
    kinds = error_classes()
    assert len({kind.code for kind in kinds}) == len(kinds)
    assert all(kind.__doc__ and kind.code.isidentifier() and kind.code.islower() for kind in kinds)


def test_an_error_ends_with_the_next_command_to_type() -> None:
    error = errors.JobNotFound("no job 99 · latest is 3", hint="list: wasmgrid jobs")
    assert str(error) == "error[job_not_found]: no job 99 · latest is 3 · list: wasmgrid jobs"
