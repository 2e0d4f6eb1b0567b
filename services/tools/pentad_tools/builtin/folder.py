"""Files of a folder that nobody can talk their way out of."""

import os
import stat
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import BinaryIO

_LISTED_MAX = 20


class OutsideFolder(Exception):
    """The name leads out of the folder."""


class NoSuchFile(Exception):
    """There is no regular file of that name."""


def open_inside(folder: Path, name: str) -> BinaryIO:
    """Open a file for reading; raise OutsideFolder or NoSuchFile.

    Symbolic links are followed as long as they stay inside: mounted volumes are made of them.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name:
        raise OutsideFolder
    root = folder.resolve()
    try:
        target = (root / path).resolve(strict=True)
        if not target.is_relative_to(root):
            raise OutsideFolder
        return _open(root, target.relative_to(root).parts)
    except (OSError, RuntimeError):  # a loop of links is a RuntimeError
        raise NoSuchFile from None


def _open(root: Path, parts: tuple[str, ...]) -> BinaryIO:
    """Walk down without following links: one that appears now was put there by an attacker."""
    held = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in parts:
            below = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=held)
            os.close(held)
            held = below
        file = os.fdopen(held, "rb")
    except BaseException:
        os.close(held)
        raise
    if not stat.S_ISREG(os.fstat(held).st_mode):
        file.close()
        raise NoSuchFile
    return file


def names_inside(folder: Path, pattern: str) -> list[str]:
    """Return the names of some files of the folder, sorted."""
    found = (path for path in folder.rglob(pattern) if path.is_file())
    return sorted(str(path.relative_to(folder)) for path in islice(found, _LISTED_MAX))
