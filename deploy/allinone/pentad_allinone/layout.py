"""Where one suite keeps what: its data, its sockets, its public address, its lock."""

import fcntl
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SERVICES = ("state", "tools", "executor", "orchestrator", "gateway")
"""Callees before callers: the order in which they start; they stop in the other."""

DEFAULT_ADDRESS = "127.0.0.1:50051"

_SOCKET_PATH_BYTES_MAX = 100  # the kernel's own limit is 104 on macOS and 108 on Linux
_PRIVATE = 0o700


class SuiteUnusable(Exception):
    """The suite cannot run here; the message says why in one line, `advice` what to do."""

    def __init__(self, message: str, advice: str) -> None:
        super().__init__(message)
        self.advice = advice


@dataclass(frozen=True, slots=True)
class Layout:
    """The places of one suite."""

    data_dir: Path
    """All that outlives the suite: the store, the first key, what tools write."""

    sockets: Path
    """Private folder with one unix socket for each internal service."""

    address: str
    """Where the gateway listens."""

    files: Path | None
    """The folder whose files tools may read; None leaves it to the tools service's settings."""

    @property
    def api_key_file(self) -> Path:
        """The file that the gateway writes its first key to."""
        return self.data_dir / "api-key"

    def settings(self, service: str) -> dict[str, str | Path]:
        """Return the fields of a service's `Config` that follow from the places."""
        at = {name: f"unix:{self.sockets}/{name}" for name in SERVICES}
        peers = {f"{name}_address": at[name] for name in _CALLEES[service]}
        return {"address": at[service], **peers, **self._own(service)}

    def _own(self, service: str) -> dict[str, str | Path]:
        match service:
            case "gateway":
                return {"address": self.address, "api_key_file": self.api_key_file}
            case "state":
                return {"data_dir": self.data_dir / "state"}
            case "tools":
                files = {"data_dir": self.files} if self.files else {}
                return {"notebook_dir": self.data_dir / "notebooks", **files}
            case _:
                return {}


_CALLEES = {
    "state": (),
    "tools": ("state",),
    "executor": ("state",),
    "orchestrator": ("state", "executor", "tools"),
    "gateway": ("state", "orchestrator", "tools"),
}
"""Whom each service calls."""


@contextmanager
def claim_layout(
    data_dir: Path, address: str = DEFAULT_ADDRESS, files: Path | None = None
) -> Iterator[Layout]:
    """Take a data folder for this suite alone; the sockets' folder is gone afterwards.

    Raises SuiteUnusable when another suite runs on the folder, or something on the address.
    """
    data_dir = data_dir.absolute()
    try:
        data_dir.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
    except OSError as error:
        raise SuiteUnusable(
            f"cannot make {data_dir}: {error.strerror}", "give another --data-dir"
        ) from None
    with _lock(data_dir, address):
        _check_free(address)
        with _private_folder(data_dir) as sockets:
            yield Layout(data_dir, sockets, address, files.absolute() if files else None)


@contextmanager
def _lock(data_dir: Path, address: str) -> Iterator[None]:
    """Hold the folder's lock; the kernel frees it however this process ends."""
    with (data_dir / "suite.lock").open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise SuiteUnusable(
                f"a suite runs on {data_dir} already ({holder})",
                "stop it, or give another --data-dir and --address",
            ) from None
        file.truncate(0)
        file.write(f"process {os.getpid()}, address {address}\n")
        file.flush()
        yield


def _check_free(address: str) -> None:
    """Refuse an address that is taken before five services start and fail at it."""
    host, _, port = address.rpartition(":")
    if not port.isdigit():
        return  # a unix socket or a name: the gateway says what is wrong with it
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), int(port)))
        except (OSError, OverflowError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise SuiteUnusable(
                f"cannot listen on {address}: {reason}",
                "stop what listens there, or give another --address",
            ) from None


@contextmanager
def _private_folder(data_dir: Path) -> Iterator[Path]:
    """Make an empty folder that only its owner may enter, with a short path."""
    folder = data_dir / "run"
    if len(os.fsencode(folder / max(SERVICES, key=len))) > _SOCKET_PATH_BYTES_MAX:
        folder = Path(tempfile.mkdtemp(prefix="pentad-", dir="/tmp"))
    else:
        shutil.rmtree(folder, ignore_errors=True)  # left by a suite that was killed
        folder.mkdir(mode=_PRIVATE)
    assert stat.S_IMODE(folder.stat().st_mode) == _PRIVATE, "umask only ever takes away"
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
