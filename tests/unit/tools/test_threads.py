"""Threads for synchronous tools, and what they say of the service's health."""

import threading

from harness.fakes import until

from pentad_chassis.health import HEALTHY, degraded
from pentad_tools.threads import Threads


async def test_functions_that_hang_are_seen() -> None:
    threads, gate = Threads(2), threading.Event()
    assert threads.condition() == HEALTHY
    first, second = [await threads.start(gate.wait) for _ in range(2)]
    assert threads.condition() == degraded("2 of 2 threads of tools")

    # Who gives up waiting does not give the thread back: the function is still at it.
    first.cancel()
    assert threads.condition() != HEALTHY

    gate.set()
    await second
    await until(lambda: threads.condition() == HEALTHY)
