"""Notebooks: text files of a tenant that only grow, a line a call."""

import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import BaseModel, Field

from pentad_tools.tool import NOT_DONE, Checked, Done, Effect, ToolContext, ToolFailed, tool

FILE_BYTES_MAX = 8 * 1024 * 1024
LINES_SHOWN_MAX = 500
BYTES_SHOWN_MAX = 64 * 1024

_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_LOCK_S = 5.0
_LOCK_PAUSE_S = 0.01

NotebookName: TypeAlias = Annotated[
    str,
    Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", description="Name of the notebook"),
]
Line: TypeAlias = Annotated[
    str,
    Field(
        pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]+$",
        max_length=2000,
        description="What to write, without line breaks",
    ),
]


class Appended(BaseModel):
    """What `notebook_append` returns."""

    notebook: str
    line: str


class Contents(BaseModel):
    """What `notebook_read` returns."""

    notebook: str
    lines: list[str]
    """The last ones."""

    line_count: int


@tool(effect=Effect.ONCE, timeout_s=15)
def notebook_append(notebook: NotebookName, line: Line, context: ToolContext) -> Appended:
    """Append one line to a notebook; notebooks keep what is worth remembering or reporting."""
    path = _path(context, notebook)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, fcntl.LOCK_EX) as file:
        data = f"{line} {_mark(context)}\n".encode()
        size = _drop_torn_line(file)
        if size + len(data) > FILE_BYTES_MAX:
            raise ToolFailed(f"the notebook is full: it has {size} bytes")
        while data:
            data = data[os.write(file, data) :]
        os.fsync(file)
    if size == 0:
        _sync_folder(path.parent)
    return Appended(notebook=notebook, line=line)


@notebook_append.check
def was_appended(notebook: NotebookName, line: Line, context: ToolContext) -> Checked:
    """Look for the line that carries this call's key."""
    try:
        lines = _read(context, notebook)
    except FileNotFoundError:
        return NOT_DONE
    wanted = f"{line} {_mark(context)}".encode()
    return Done(Appended(notebook=notebook, line=line)) if wanted in lines else NOT_DONE


@tool(effect=Effect.PURE, timeout_s=15)
def notebook_read(notebook: NotebookName, context: ToolContext) -> Contents:
    """Read the last lines of a notebook; each ends with the call that wrote it, in brackets."""
    try:
        lines = _read(context, notebook)
    except FileNotFoundError:
        raise ToolFailed("there is no such notebook yet") from None
    shown: list[str] = []
    room = BYTES_SHOWN_MAX
    for line in reversed(lines[-LINES_SHOWN_MAX:]):
        room -= len(line)
        if room < 0:
            break
        shown.append(line.decode(errors="replace"))
    return Contents(notebook=notebook, lines=shown[::-1], line_count=len(lines))


def _path(context: ToolContext, notebook: str) -> Path:
    # The tenant becomes a folder, so what is not plainly a name is refused.
    if not _TENANT.fullmatch(context.tenant):
        raise ToolFailed("this tenant's name cannot name a folder; it has no notebooks")
    return context.notebook_dir / context.tenant / f"{notebook}.txt"


def _mark(context: ToolContext) -> str:
    """Stand at the end of the line, where no text of a line can pretend to be it."""
    return f"[{context.idempotency_key}]"


def _read(context: ToolContext, notebook: str) -> list[bytes]:
    with _locked(_path(context, notebook), os.O_RDONLY, fcntl.LOCK_SH) as file:
        data = os.pread(file, FILE_BYTES_MAX, 0)
    return data.split(b"\n")[:-1]  # behind the last newline there is nothing, or a torn line


def _drop_torn_line(file: int) -> int:
    """Cut off what a crash left without a newline: its call never took place as a whole."""
    size = os.fstat(file).st_size
    if size == 0 or os.pread(file, 1, size - 1) == b"\n":
        return size
    whole = os.pread(file, size, 0).rfind(b"\n") + 1
    os.ftruncate(file, whole)
    return whole


@contextmanager
def _locked(path: Path, flags: int, lock: int) -> Iterator[int]:
    """Open and lock a file; wait for the lock no longer than a reader of 8 MiB may hold it."""
    file = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode=0o600)
    try:
        until = time.monotonic() + _LOCK_S
        while True:
            try:
                fcntl.flock(file, lock | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise ToolFailed("the notebook is locked by another process") from None
                time.sleep(_LOCK_PAUSE_S)
        yield file
    finally:
        os.close(file)


def _sync_folder(folder: Path) -> None:
    """Make the new file's name as durable as its contents."""
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(held)
    finally:
        os.close(held)
