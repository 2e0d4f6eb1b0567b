from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from integration.orchestrator.world import World


@pytest.fixture
async def world() -> AsyncIterator[World]:
    with TemporaryDirectory() as sockets:
        world = World(Path(sockets))
        async with world.peers():
            yield world
