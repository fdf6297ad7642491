"""Numbers as strangers write them."""

from __future__ import annotations


def whole_number(text: str, most: int) -> int | None:
    """The number 0..`most` whose decimal digits `text` is; None for anything else, however long it is."""
    if not (text.isascii() and text.isdigit()):
        return None
    digits = text.lstrip("0")
    if len(digits) > len(str(most)):  # Python refuses to read thousands of digits, databases refuse less
        return None
    number = int(digits or "0")
    return number if number <= most else None
