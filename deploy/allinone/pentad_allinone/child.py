"""One replica as a child process, started again when it dies."""

import asyncio
import os
import sys
from asyncio.subprocess import Process
from contextlib import suppress

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from pentad_allinone.environment import environment_of
from pentad_allinone.layout import Layout, Replica, SuiteUnusable
from pentad_allinone.restarts import Restarts
from pentad_chassis.channel import OPTIONS
from pentad_chassis.clock import SystemClock
from pentad_chassis.config import Settings
from pentad_chassis.credentials import channel_credentials
from pentad_chassis.telemetry import Telemetry

_POLL_S = 0.1
_CHECK_S = 1.0
_STOP_S = 15.0
"""Time for a service to drain; its own grace is 10 s."""


class ServiceDown(SuiteUnusable):
    """A service does not stay up, so the suite cannot either."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "its own last lines above say why")


class Child:
    """One replica of a service as a child process."""

    def __init__(
        self, replica: Replica, config: Settings, layout: Layout, telemetry: Telemetry, tether: int
    ) -> None:
        self.name = replica.name
        self.served = False
        """It has served once; from then on it is kept up."""
        self._module = f"pentad_{replica.service}"
        self._config = config
        self._environment = environment_of(replica, layout, config)
        self._address = str(layout.settings(replica)["address"])
        self._log = telemetry.log
        self._tether = tether
        self._process: Process | None = None
        self._restarts = Restarts(SystemClock())
        self._stopping = asyncio.Event()
        self._changing = asyncio.Lock()

    async def start(self) -> None:
        """Start the process unless the suite is stopping."""
        async with self._changing:
            if self._stopping.is_set():
                return
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "pentad_allinone.tether"),
                *(self._module, str(self._tether)),
                env={**os.environ, **self._environment},
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(self._tether,),
                start_new_session=True,  # so that Ctrl-C reaches the supervisor alone
            )

    async def keep(self) -> None:
        """Start the process again whenever it dies, until `stop`; ServiceDown if too often."""
        while True:
            assert self._process is not None, "started before it is kept up"
            code = await self._process.wait()
            if self._stopping.is_set():
                return
            delay = self._restarts.next_delay_s() if self.served else None
            if delay is None:
                raise ServiceDown(f"{self.name} does not stay up: last exit code {code}")
            self._log.error("service died", died=self.name, code=code, restart_in_s=delay)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay)
            await self.start()

    async def wait_serving(self) -> None:
        """Return once the service says that it serves."""
        credentials = channel_credentials(self._config)
        async with (
            grpc.aio.secure_channel(self._address, credentials, OPTIONS)
            if credentials
            else grpc.aio.insecure_channel(self._address, OPTIONS)
        ) as channel:
            while not self.served:
                self.served = await _serves(channel)
                await asyncio.sleep(_POLL_S)

    async def stop(self) -> None:
        """Stop the process: drained when it manages in time, else killed."""
        self._stopping.set()
        async with self._changing:
            process = self._process
            if process is None or process.returncode is not None:
                return
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), _STOP_S)
            except TimeoutError:
                self._log.error("service killed", killed=self.name, after_s=_STOP_S)
                process.kill()
                await process.wait()


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
