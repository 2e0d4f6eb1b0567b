"""The suite in five processes on one machine, each started again when it dies."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from pentad_allinone.configs import load_configs
from pentad_allinone.layout import Layout, SuiteUnusable
from pentad_allinone.restarts import Restarts
from pentad_chassis.channel import OPTIONS
from pentad_chassis.clock import SystemClock
from pentad_chassis.config import Settings
from pentad_chassis.credentials import channel_credentials
from pentad_chassis.telemetry import Telemetry

_WAVES = (("state",), ("tools", "executor"), ("orchestrator", "gateway"))
"""Callees serve before their callers start, who take up work at once and would count failures."""

_START_S = 60.0
_POLL_S = 0.1
_CHECK_S = 1.0
_STOP_S = 15.0
"""Time for a service to drain; its own grace is 10 s."""


class ServiceDown(SuiteUnusable):
    """A service does not stay up, so the suite cannot either."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "its own last lines above say why")


@asynccontextmanager
async def open_processes(layout: Layout, telemetry: Telemetry) -> AsyncIterator[None]:
    """Run five processes while the block runs; it is cancelled when one cannot be kept up.

    Leaving stops callers before callees and waits for each, so that none is left behind. Should
    this process be killed, the pipe that each child watches closes; see `tether`.
    """
    configs = load_configs()
    with _tether() as descriptor:
        async with asyncio.TaskGroup() as group, AsyncExitStack() as stack:
            for services in _WAVES:
                wave = [Child(s, configs[s], layout, telemetry, descriptor) for s in services]
                for child in wave:
                    await child.start()
                    stack.push_async_callback(child.stop)
                    group.create_task(child.keep())
                await _all_serving(wave)
            telemetry.log.info("suite serving", address=layout.address)
            yield


async def _all_serving(children: list["Child"]) -> None:
    try:
        async with asyncio.timeout(_START_S), asyncio.TaskGroup() as waiting:
            for child in children:
                waiting.create_task(child.wait_serving())
    except TimeoutError:
        late = ", ".join(child.service for child in children if not child.served)
        raise ServiceDown(f"not serving after {_START_S:.0f} s: {late}") from None


class Child:
    """One service as a child process."""

    def __init__(
        self, service: str, config: Settings, layout: Layout, telemetry: Telemetry, tether: int
    ) -> None:
        self.service = service
        self.served = False
        """It has served once; from then on it is kept up."""
        self._config = config
        self._settings = layout.settings(service)
        self._log = telemetry.log
        self._tether = tether
        self._restarts = Restarts(SystemClock())
        self._stopping = asyncio.Event()
        self._changing = asyncio.Lock()

    async def start(self) -> None:
        """Start the process unless the suite is stopping."""
        prefix = f"PENTAD_{self.service.upper()}_"
        own = {prefix + name.upper(): str(value) for name, value in self._settings.items()}
        async with self._changing:
            if self._stopping.is_set():
                return
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "pentad_allinone.tether"),
                *(f"pentad_{self.service}", str(self._tether)),
                env={**os.environ, **own},
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(self._tether,),
                start_new_session=True,  # so that Ctrl-C reaches the supervisor alone
            )

    async def keep(self) -> None:
        """Start the process again whenever it dies, until `stop`; ServiceDown if too often."""
        while True:
            code = await self._process.wait()
            if self._stopping.is_set():
                return
            delay = self._restarts.next_delay_s() if self.served else None
            if delay is None:
                raise ServiceDown(f"{self.service} does not stay up: last exit code {code}")
            self._log.error("service died", died=self.service, code=code, restart_in_s=delay)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay)
            await self.start()

    async def wait_serving(self) -> None:
        """Return once the service says that it serves."""
        address = str(self._settings["address"])
        credentials = channel_credentials(self._config)
        async with (
            grpc.aio.secure_channel(address, credentials, OPTIONS)
            if credentials
            else grpc.aio.insecure_channel(address, OPTIONS)
        ) as channel:
            while not self.served:
                self.served = await _serves(channel)
                await asyncio.sleep(_POLL_S)

    async def stop(self) -> None:
        """Stop the process: drained when it manages in time, else killed."""
        self._stopping.set()
        async with self._changing:
            if self._process.returncode is not None:
                return
            self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), _STOP_S)
            except TimeoutError:
                self._log.error("service killed", killed=self.service, after_s=_STOP_S)
                self._process.kill()
                await self._process.wait()


async def _serves(channel: grpc.aio.Channel) -> bool:
    check = channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=HealthCheckRequest.SerializeToString,
        response_deserializer=HealthCheckResponse.FromString,
    )
    try:
        answer = await check(HealthCheckRequest(), timeout=_CHECK_S)
    except grpc.aio.AioRpcError:
        return False
    return answer.status == HealthCheckResponse.SERVING


@contextmanager
def _tether() -> Iterator[int]:
    """Yield the end of a pipe that closes, for all who hold it, when this process ends."""
    reading, writing = os.pipe()
    try:
        yield reading
    finally:
        os.close(writing)
        os.close(reading)
