"""The embedded engine's folder: one service and one engine at a time, whatever was killed before.

Two locks tell who is there without any process id. `owner.lock` is held by the service;
`engine.lock` is inherited by the engine, so that it outlives a service that was killed. An engine
without an owner is asked to save and stop before another one starts.
"""

import asyncio
import contextlib
import fcntl
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from redis.exceptions import RedisError

from pentad_chassis.errors import FailedPrecondition
from pentad_state.connection import Address

_SOCKET_BYTES_MAX = 100  # the kernel's own limit is 108, including the end
_ORPHAN_S = 15.0
_ASK_S = 0.2


class DataDirInUse(FailedPrecondition):
    """Another service keeps its data there."""

    reason = "DATA_DIR_IN_USE"

    def __init__(self, data_dir: Path) -> None:
        super().__init__(
            f"another Pentad uses {data_dir}; stop it, or set PENTAD_STATE_DATA_DIR",
            data_dir=str(data_dir),
        )


@dataclass(frozen=True, slots=True)
class DataDir:
    """A folder that is ours alone."""

    path: Path
    socket: Path
    engine_lock: int
    """File descriptor for the engine to inherit."""

    @property
    def url(self) -> str:
        """Where the engine is to be reached."""
        return url_of(self.socket)


def url_of(socket: Path) -> str:
    """Return the address of a unix socket."""
    return f"unix://{quote(str(socket))}"


@asynccontextmanager
async def open_data_dir(path: Path) -> AsyncIterator[DataDir]:
    """Own the folder while the block runs, or raise DataDirInUse."""
    path = _private(path)
    with _lock(path / "owner.lock") as owner, _lock(path / "engine.lock") as engine:
        if not _try(owner):
            raise DataDirInUse(path)
        await _await_engine_lock(path, engine)
        with _socket(path) as socket:
            (path / "engine.socket").write_text(str(socket))
            yield DataDir(path, socket, engine)


async def _await_engine_lock(path: Path, lock: int) -> None:
    """Take the lock, stopping an engine whose owner was killed."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_ORPHAN_S):
            while not _try(lock):
                await _ask_to_stop(path)
                await asyncio.sleep(_ASK_S)
            return
    raise DataDirInUse(path)


async def _ask_to_stop(path: Path) -> None:
    try:
        socket = Path((path / "engine.socket").read_text())
        async with Address(url_of(socket)).connect() as connection:
            await connection.send_command("SHUTDOWN")
            await connection.read_response(timeout=_ASK_S)
    except (OSError, RedisError, TimeoutError):
        pass  # it is stopping already


def _private(path: Path) -> Path:
    path = path.expanduser().absolute()
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
    return path


@contextmanager
def _lock(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _socket(path: Path) -> Iterator[Path]:
    """Hold a place for the socket that only we may enter, with a path that is short enough."""
    socket = path / "engine.sock"
    if len(os.fsencode(socket)) < _SOCKET_BYTES_MAX:
        yield socket
        return
    with tempfile.TemporaryDirectory(prefix="pentad-", ignore_cleanup_errors=True) as short:
        yield Path(short) / "engine.sock"
