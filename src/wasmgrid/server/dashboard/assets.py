"""What a browser is given to run: the files of `static/`, read once, under an address that changes when they do."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

STATIC = Path(__file__).parent / "static"
_TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
_TEXT = "text/plain"


class Asset(NamedTuple):
    """A file as it is served."""

    body: bytes
    media_type: str


class Assets:
    """All files by their path below `static/`; nothing is looked up on the disk by a name from outside."""

    def __init__(self, directory: Path = STATIC) -> None:
        self._directory = directory

    @cached_property
    def files(self) -> dict[str, Asset]:
        """Path -> file."""
        paths = sorted(path for path in self._directory.rglob("*") if path.is_file())
        return {
            path.relative_to(self._directory).as_posix(): Asset(path.read_bytes(), _TYPES.get(path.suffix, _TEXT))
            for path in paths
        }

    @cached_property
    def digest(self) -> str:
        """Of all of them: what browsers keep under it never changes."""
        whole = hashlib.sha256()
        for name, asset in self.files.items():
            whole.update(f"{name}\0{len(asset.body)}\0".encode())
            whole.update(asset.body)
        return whole.hexdigest()[:16]

    def page(self, nonce: str) -> bytes:
        """The one page, for whatever address; `nonce` lets the editor add its style."""
        page = self.files["index.html"].body
        return page.replace(b"{nonce}", nonce.encode()).replace(b"{assets}", f"/assets/{self.digest}".encode())
