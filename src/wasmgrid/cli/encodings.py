"""What is shown where an encoding lacks our signs: a plain sign for each of them, anything else escaped."""

from __future__ import annotations

import codecs

PLAIN = "wasmgrid.plain"  # an error handler of codecs
_SIGNS = {"·": "-", "…": "...", "─": "-", "×": "x", "→": "->", "█": "#", "░": "-"}


def _plain(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    sign = _SIGNS.get(error.object[error.start])
    return (sign, error.start + 1) if sign is not None else codecs.backslashreplace_errors(error)


codecs.register_error(PLAIN, _plain)
