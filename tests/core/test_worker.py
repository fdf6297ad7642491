"""Ids become parts of subjects and paths, so little may be one."""

from __future__ import annotations

import pytest

from wasmgrid.core.errors import InvalidField
from wasmgrid.core.worker import check_id, check_labels


@pytest.mark.parametrize("text", ["w1", "arm64", "A-b_9", "x" * 63])
def test_ids(text: str) -> None:
    assert check_id(text, field="id") == text


@pytest.mark.parametrize("text", ["", "*", ">", "a.b", "a b", "-a", "a/b", "..", "ä", "x" * 64, "a\n"])
def test_hostile_52_what_a_subject_or_a_path_would_read_otherwise_is_refused(text: str) -> None:
    with pytest.raises(InvalidField) as caught:
        check_id(text, field="worker_id")
    assert caught.value.field == "worker_id"
    with pytest.raises(InvalidField):
        check_labels({text: "x"}, field="labels")
    with pytest.raises(InvalidField, match="is not an id"):
        check_labels({"region": text}, field="labels")
