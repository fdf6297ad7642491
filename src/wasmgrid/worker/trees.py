"""Directories that a worker makes for guests and takes away again."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
from pathlib import Path


def link(source: Path, target: Path) -> None:
    """The same file once more, or a copy where `target` is on another file system. Raises OSError."""
    try:
        target.hardlink_to(source)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        shutil.copyfile(source, target)
        target.chmod(0o444)


def link_tree(source: Path, target: Path) -> None:
    """The same directory once more, its files linked, all of it readable by anyone. Raises OSError."""
    for directory, _, files in os.walk(source):
        made = target / Path(directory).relative_to(source)
        made.mkdir()
        made.chmod(0o755)
        for name in files:
            link(Path(directory) / name, made / name)


def remove_tree(path: Path) -> None:
    """Remove a file or directory in which a guest may have been at work: links are not followed, any depth goes."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    try:
        shutil.rmtree(path)
    except (OSError, RecursionError):
        # Deeper than Python recurses, or directories that were closed: rm manages.
        with contextlib.suppress(OSError):
            subprocess.run(["chmod", "-R", "u+rwx", "--", str(path)], check=False, stderr=subprocess.DEVNULL)
            subprocess.run(["rm", "-rf", "--", str(path)], check=False, stderr=subprocess.DEVNULL)
