"""Where one suite keeps what: its data, its sockets, its public address, its lock."""

import fcntl
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

SERVICES = ("state", "tools", "executor", "orchestrator", "gateway")
"""Callees before callers: the order in which they start; they stop in the other."""

ONE_EACH: Mapping[str, int] = dict.fromkeys(SERVICES, 1)

DEFAULT_ADDRESS = "127.0.0.1:50051"

_SOCKET_PATH_BYTES_MAX = 100  # the kernel's own limit is 104 on macOS and 108 on Linux
_NUMBERED_BYTES = len(".64")
_PRIVATE = 0o700


class SuiteUnusable(Exception):
    """The suite cannot run here; the message says why in one line, `advice` what to do."""

    def __init__(self, message: str, advice: str) -> None:
        super().__init__(message)
        self.advice = advice


@dataclass(frozen=True, slots=True)
class Replica:
    """One process of a service, or its part of the only one."""

    service: str
    number: int = 1

    @property
    def name(self) -> str:
        """What it is called where its service is not enough: `executor.2`."""
        return self.service if self.number == 1 else f"{self.service}.{self.number}"


@dataclass(frozen=True, slots=True)
class Layout:
    """The places of one suite."""

    data_dir: Path
    """All that outlives the suite: the store, the first key, what tools write."""

    sockets: Path
    """Private folder with one unix socket for each replica."""

    address: str
    """Where the gateway listens; all gateways, where there are several."""

    files: Path | None
    """The folder whose files tools may read; None leaves it to the tools service's settings."""

    counts: Mapping[str, int]
    """How many replicas each service has."""

    @property
    def api_key_file(self) -> Path:
        """The file that the gateway writes its first key to."""
        return self.data_dir / "api-key"

    def replicas(self, service: str) -> list[Replica]:
        """Return the replicas of a service."""
        return [Replica(service, number + 1) for number in range(self.counts[service])]

    def settings(self, replica: Replica) -> dict[str, str | Path]:
        """Return the fields of a replica's `Config` that follow from the places."""
        peers = {f"{name}_address": self._target(name) for name in _CALLEES[replica.service]}
        own = f"unix:{self._socket(replica)}"
        return {"address": own, **peers, **self._own(replica.service, own)}

    @property
    def engine_url(self) -> str:
        """Where the embedded engine listens that belongs to the first state service.

        Raises SuiteUnusable where the path of its socket is too long for it to be there.
        """
        path = self.data_dir / "state" / "engine.sock"
        if len(os.fsencode(path)) >= _SOCKET_PATH_BYTES_MAX:
            raise SuiteUnusable(
                f"the path {path} is too long for several state services",
                "give a shorter --data-dir, or set PENTAD_STATE_REDIS_URL",
            )
        return f"unix://{quote(str(path))}"

    def _target(self, service: str) -> str:
        """Return where all replicas of a service are, as one gRPC target."""
        return "unix:" + ",".join(str(self._socket(each)) for each in self.replicas(service))

    def _socket(self, replica: Replica) -> Path:
        return self.sockets / replica.name

    def _own(self, service: str, at: str) -> dict[str, str | Path]:
        match service:
            case "gateway" if self.counts[service] > 1:
                return {"shared_address": self.address, "api_key_file": self.api_key_file}
            case "gateway":
                return {"address": self.address, "api_key_file": self.api_key_file}
            case "executor":
                return {"advertise_address": at}
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
    data_dir: Path,
    address: str = DEFAULT_ADDRESS,
    files: Path | None = None,
    counts: Mapping[str, int] = ONE_EACH,
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
    shared = counts["gateway"] > 1
    with (
        _lock(data_dir, address),
        _shared(address) if shared else _free(address),
        _private_folder(data_dir) as sockets,
    ):
        yield Layout(data_dir, sockets, address, files.absolute() if files else None, counts)


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


@contextmanager
def _free(address: str) -> Iterator[None]:
    """Refuse an address that is taken before five services start and fail at it."""
    if address.rpartition(":")[2].isdigit():
        with _bound(address):
            pass
    yield  # a unix socket or a name: the gateway says what is wrong with it


@contextmanager
def _shared(address: str) -> Iterator[None]:
    """Keep an address for the gateways of this suite alone.

    They share it as only those may who ask the kernel for that, and no other suite asks before it
    has had the address for itself, which it cannot as long as this one holds it.
    """
    port = address.rpartition(":")[2]
    if not port.isdigit() or int(port) == 0:
        raise SuiteUnusable(
            f"several gateways cannot share {address}", "give a HOST:PORT as --address"
        )
    with _bound(address) as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        yield


@contextmanager
def _bound(address: str) -> Iterator[socket.socket]:
    """Have the address to ourselves, without listening, or raise SuiteUnusable."""
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((host.strip("[]"), int(port)))
        except (OSError, OverflowError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise SuiteUnusable(
                f"cannot listen on {address}: {reason}",
                "stop what listens there, or give another --address",
            ) from None
        yield bound


@contextmanager
def _private_folder(data_dir: Path) -> Iterator[Path]:
    """Make an empty folder that only its owner may enter, with a short path."""
    folder = data_dir / "run"
    longest = len(os.fsencode(folder / max(SERVICES, key=len))) + _NUMBERED_BYTES
    # A comma would end one socket's path where several are named.
    if longest > _SOCKET_PATH_BYTES_MAX or "," in str(folder):
        folder = Path(tempfile.mkdtemp(prefix="pentad-", dir="/tmp"))
    else:
        shutil.rmtree(folder, ignore_errors=True)  # left by a suite that was killed
        folder.mkdir(mode=_PRIVATE)
    assert stat.S_IMODE(folder.stat().st_mode) == _PRIVATE, "umask only ever takes away"
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
