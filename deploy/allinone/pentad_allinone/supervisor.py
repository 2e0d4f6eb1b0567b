"""The suite in processes of its own on one machine: one or more of each service."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

from pentad_allinone.child import Child, ServiceDown
from pentad_allinone.configs import load_configs
from pentad_allinone.layout import Layout, Replica
from pentad_chassis.telemetry import Telemetry

_START_S = 60.0


@asynccontextmanager
async def open_processes(layout: Layout, telemetry: Telemetry) -> AsyncIterator[None]:
    """Run every replica while the block runs; it is cancelled when one cannot be kept up.

    Leaving stops callers before callees, the replicas of a service together, and waits for each,
    so that none is left behind. Should this process be killed, the pipe that each child watches
    closes; see `tether`.
    """
    configs = load_configs()
    with _tether() as descriptor:
        async with asyncio.TaskGroup() as group, AsyncExitStack() as stack:
            for wave in _waves(layout):
                waiting = []
                for replicas in wave:
                    children = [
                        Child(each, configs[each.service], layout, telemetry, descriptor)
                        for each in replicas
                    ]
                    stack.push_async_callback(_stop, children)
                    for child in children:
                        await child.start()
                        group.create_task(child.keep())
                    waiting += children
                await _all_serving(waiting)
            telemetry.log.info("suite serving", address=layout.address)
            yield


def _waves(layout: Layout) -> Iterator[tuple[Sequence[Replica], ...]]:
    """Yield what starts together, by service.

    Callees serve before their callers start, who take up work at once and would count failures.
    The first state service may run the store that the others use.
    """
    first, *others = layout.replicas("state")
    yield ([first],)
    yield (others, layout.replicas("tools"), layout.replicas("executor"))
    yield (layout.replicas("orchestrator"), layout.replicas("gateway"))


async def _all_serving(children: Sequence[Child]) -> None:
    try:
        async with asyncio.timeout(_START_S), asyncio.TaskGroup() as waiting:
            for child in children:
                waiting.create_task(child.wait_serving())
    except TimeoutError:
        late = ", ".join(child.name for child in children if not child.served)
        raise ServiceDown(f"not serving after {_START_S:.0f} s: {late}") from None


async def _stop(children: Sequence[Child]) -> None:
    await asyncio.gather(*(child.stop() for child in children))


@contextmanager
def _tether() -> Iterator[int]:
    """Yield the end of a pipe that closes, for all who hold it, when this process ends."""
    reading, writing = os.pipe()
    try:
        yield reading
    finally:
        os.close(writing)
        os.close(reading)
