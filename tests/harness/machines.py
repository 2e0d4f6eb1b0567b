"""State machines that compare the state service's core with a model, step by step."""

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any, TypeVar

from harness.engines import ask
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine

from pentad_chassis.telemetry import silent_telemetry
from pentad_state.app import open_core
from pentad_state.config import Config

_Result = TypeVar("_Result")

SHORT_S = 0.001
LONG_S = 600.0
EXPIRED_S = 0.004
"""After this long a short time is over, however the store rounds it."""

SETTINGS = settings(
    max_examples=30,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


SMALL = settings(SETTINGS, max_examples=15)
"""For nouns with few states."""


class CoreMachine(RuleBasedStateMachine):
    """A machine with the core over an empty engine."""

    def __init__(self, url: str) -> None:
        super().__init__()
        ask(url, "FLUSHALL")
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        opened = open_core(url, Config(), silent_telemetry("state"))
        self.core = self.run(self._stack.enter_async_context(opened))

    def teardown(self) -> None:
        """Close the core; called by hypothesis after each example."""
        self.run(self._stack.aclose())
        self._runner.close()

    def run(self, step: Coroutine[Any, Any, _Result]) -> _Result:
        """Return what a step of the core gives."""
        return self._runner.run(step)

    def expire(self) -> None:
        """Let short times pass."""
        self.run(asyncio.sleep(EXPIRED_S))
