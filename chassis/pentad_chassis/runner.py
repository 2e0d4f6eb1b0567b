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
from pentad_chassis.telemetry import Telemetry, open_telemetry

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
        telemetry = open_telemetry(service, config.log_level)
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
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    starting = asyncio.create_task(_start(app))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        # A signal while the service waits for its store must not be waited out.
        starting.cancel()
        await asyncio.wait({starting})
        return
    try:
        starting.result()
        await stopping
    finally:
        stopping.cancel()
        if starting.exception() is None:
            await app.__aexit__(None, None, None)


async def _start(app: AbstractAsyncContextManager[object]) -> None:
    await app.__aenter__()
