"""Text that may be shown: nothing that a guest, a name or a message holds may steer what shows it (hostile row 48)."""

from __future__ import annotations

# Shown instead of obeyed: C0 and C1 controls but newline and tab, DEL, and what reverses or breaks lines of text.
_BIDI_AND_BREAKS = [0x61C, *range(0x200E, 0x2010), *range(0x2028, 0x202F), *range(0x2066, 0x206A)]
_CONTROLS = [*range(0x20), *range(0x7F, 0xA0), *_BIDI_AND_BREAKS]
_ONE_LINE = {point: (f"\\x{point:02x}" if point < 0x100 else f"\\u{point:04x}") for point in _CONTROLS}
_ONE_LINE |= {0x09: "\\t", 0x0A: "\\n", 0x0D: "\\r"}
JSON_CONTROLS = {point: f"\\u{point:04x}" for point in _CONTROLS}  # for text that is JSON already
_TEXT = {point: shown for point, shown in _ONE_LINE.items() if point not in {0x09, 0x0A}}


def neutralised(text: str) -> str:
    """`text` with its control characters visible; newlines and tabs stay."""
    return text.translate(_TEXT)


def one_line(text: str) -> str:
    """`text` on one line, with its control characters visible: for names and messages."""
    return text.translate(_ONE_LINE)
