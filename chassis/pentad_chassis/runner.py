"""The life of a service process: configuration, start, stop on a signal."""

import asyncio
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import NoReturn, TypeVar

import uvloop

from pentad_chassis.config import ConfigInvalid, Settings
from pentad_chassis.errors import ServiceError
from pentad_chassis.logs import hear_libraries
from pentad_chassis.telemetry import Telemetry, configured_telemetry

_Config = TypeVar("_Config", bound=Settings)

EXIT_FAILED = 1
EXIT_CONFIG = 2


def main(
    service: str,
    config_type: type[_Config],
    open_app: Callable[[_Config, Telemetry], AbstractAsyncContextManager[object]],
) -> NoReturn:
    """Run a service until SIGTERM or SIGINT, then exit 0; exit 2 when its settings are wrong."""
    try:
        config = config_type.load()
        telemetry = configured_telemetry(service, config)
        hear_libraries(telemetry.log)
        uvloop.run(_run(open_app(config, telemetry)))
    except ConfigInvalid as invalid:
        for problem in invalid.problems:
            sys.stderr.write(f"pentad-{service}: {problem}\n")
        sys.exit(EXIT_CONFIG)
    except ServiceError as error:
        sys.stderr.write(f"pentad-{service}: {error.reason}: {error.message}\n")
        sys.exit(EXIT_FAILED)
    sys.exit(0)


async def _run(app: AbstractAsyncContextManager[object]) -> None:
    stop, started = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    # One task enters and leaves the app: its task groups must not be left by another.
    serving = asyncio.create_task(_serve(app, started, stop))

    def on_signal() -> None:
        stop.set()
        if not started.is_set():
            serving.cancel()  # a start that waits for its store must not be waited out

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    try:
        await serving
    except asyncio.CancelledError:
        if not stop.is_set():
            raise


async def _serve(
    app: AbstractAsyncContextManager[object], started: asyncio.Event, stop: asyncio.Event
) -> None:
    async with app:
        started.set()
        await stop.wait()
