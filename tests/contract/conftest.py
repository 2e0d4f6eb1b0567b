"""The state service's core over each kind of engine."""

from collections.abc import AsyncIterator, Iterator

import pytest
from harness.engines import ENGINES, ask, running_engine

from pentad_chassis.telemetry import silent_telemetry
from pentad_state.app import open_core
from pentad_state.config import Config
from pentad_state.core import StateCore


@pytest.fixture(scope="session", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of an engine that all tests share."""
    with running_engine(request.param) as url:
        yield url


@pytest.fixture
async def core(engine: str) -> AsyncIterator[StateCore]:
    """The core over an empty engine."""
    ask(engine, "FLUSHALL")
    async with open_core(engine, Config(), silent_telemetry("state")) as opened:
        yield opened
