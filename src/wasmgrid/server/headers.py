"""Headers of every response: whatever a program printed or a person named, no browser runs it."""

from __future__ import annotations

from urllib.parse import quote

SAFE = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def attachment(name: str) -> str:
    """A Content-Disposition for a file to be saved as `name`, whatever is in the name (RFC 6266)."""
    last = name.rpartition("/")[2] or "file"
    plain = "".join(char if char.isascii() and (char.isalnum() or char in "._- ") else "_" for char in last)[:100]
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(last.encode('utf-8', 'replace')[:400])}"
