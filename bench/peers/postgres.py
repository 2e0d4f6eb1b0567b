"""A Postgres of one's own, as its package leaves it: every commit is on the disk."""

import getpass
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.peers.installed import perform
from bench.processes import ProcessDied, running
from bench.site import Missing, Site
from bench.start import until_done

_DEBIAN = Path("/usr/lib/postgresql")
_ACCOUNT = "postgres"
"""The package's own account, for a server that refuses to run as root; and its superuser."""


@dataclass(frozen=True, slots=True)
class Postgres:
    """A server that is up."""

    url: str
    """Of its one database."""

    pid: int


@asynccontextmanager
async def open_postgres(site: Site) -> AsyncIterator[Postgres]:
    """Run a server while the block runs: it keeps its data in a folder below the site's."""
    programs, data = _programs(), site.data / "postgres"
    unprivileged: tuple[str | Path, ...] = _unprivileged(site.data, site.sockets)
    initialise = (programs / "initdb", "-D", data, "-U", _ACCOUNT, "--auth=trust")
    try:
        await perform(*unprivileged, *initialise, "--encoding=UTF8", "--locale=C", folder=site.data)
    except (ProcessDied, PermissionError) as error:
        raise Missing(f"Postgres has no place for its data: {error}") from error
    # A socket in a folder that is closed to others, and no port.
    listen = ("-c", "listen_addresses=", "-c", f"unix_socket_directories={site.sockets}")
    serve = (*unprivileged, programs / "postgres", "-D", data, *listen)
    with running(serve, site.log("postgres")) as server:

        async def answer() -> None:
            try:
                await perform(programs / "pg_isready", "-q", "-h", site.sockets)
            except ProcessDied as error:
                raise ConnectionRefusedError from error

        await until_done(answer, (server,))
        yield Postgres(f"postgresql://{_ACCOUNT}@/{_ACCOUNT}?host={site.sockets}", server.pid)


def _programs() -> Path:
    """Return the folder of the newest server, which Debian does not put on the PATH."""
    found = sorted(_DEBIAN.glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    on_path = shutil.which("initdb")
    if not found and not on_path:
        raise Missing("there is no Postgres server; apt-get install postgresql")
    return found[-1].parent if found else Path(str(on_path)).resolve().parent


def _unprivileged(*folders: Path) -> tuple[str, ...]:
    """Return what to put before a command that must not run as root, and hand it its folders."""
    if os.geteuid() != 0:
        return ()
    for folder in folders:
        try:
            shutil.chown(folder, _ACCOUNT, _ACCOUNT)
        except LookupError:
            raise Missing(
                f"Postgres refuses {getpass.getuser()}, and there is no {_ACCOUNT}"
            ) from None
    return ("setpriv", f"--reuid={_ACCOUNT}", f"--regid={_ACCOUNT}", "--clear-groups")
