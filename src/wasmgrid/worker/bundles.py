"""The programs of interpreted languages on a worker's disk: each bundle's files laid out once, as guests see them."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from pathlib import Path

import msgspec

from wasmgrid.core.bundle import Bundle, interpreter_of, is_bundle, unpack
from wasmgrid.core.interpreters import Interpreter
from wasmgrid.worker.trees import remove_tree

_HEAD_BYTES = 1024
_REMEMBERED = 1000


class PreparedBundle(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle that can run as soon as its interpreter can: `directory` holds its files.

    `argv` runs it, `serve_argv` serves calls of a function; both as in `core.bundle.Bundle`.
    """

    sha256: str
    directory: Path
    interpreter: Interpreter
    argv: list[str]
    serve_argv: list[str]


class Bundles:
    """Those below `directory`, by digest. What was laid out stays until `drop`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        remove_tree(directory)  # a former life's: laying out again costs less than looking whether it is whole
        directory.mkdir(mode=0o711)
        directory.chmod(0o711)
        self._known: OrderedDict[str, PreparedBundle] = OrderedDict()

    def get(self, sha256: str) -> PreparedBundle | None:
        """The bundle, if it was laid out."""
        return self._known.get(sha256)

    def lay_out(self, sha256: str, module: Path) -> PreparedBundle | None:
        """Lay out the module file `module` if it is a bundle, else None. Blocking.

        Raises `InvalidModule` for a damaged one or one of an unknown interpreter, OSError (disk full).
        """
        with module.open("rb") as file:
            head = file.read(_HEAD_BYTES)
            if not is_bundle(head):
                return None
            bundle = unpack(head + file.read())
        directory = self._directory / sha256
        if not directory.exists():
            partial = self._directory / f".{secrets.token_hex(4)}"
            try:
                _write(partial, bundle)
                partial.rename(directory)
            finally:
                remove_tree(partial)
        known = self._known[sha256] = PreparedBundle(
            sha256=sha256,
            directory=directory,
            interpreter=interpreter_of(bundle),
            argv=bundle.argv,
            serve_argv=bundle.serve_argv,
        )
        if len(self._known) > _REMEMBERED:
            self.drop(next(iter(self._known)))
        return known

    def drop(self, sha256: str) -> None:
        """Remove a bundle's files, if they are there."""
        if self._known.pop(sha256, None) is not None:
            remove_tree(self._directory / sha256)


def _write(root: Path, bundle: Bundle) -> None:
    """The files, readable by whichever user a runner is, and writable by none."""
    root.mkdir(mode=0o755)
    root.chmod(0o755)
    for path, content in bundle.files.items():
        target = root
        for part in path.split("/")[:-1]:
            target /= part
            if not target.exists():
                target.mkdir()
                target.chmod(0o755)
        target /= path.rpartition("/")[2]
        target.write_bytes(content)
        target.chmod(0o444)
