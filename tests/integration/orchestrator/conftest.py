import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from integration.orchestrator.world import World

from pentad_orchestrator.owned import OwnedRuns


@pytest.fixture
async def world() -> AsyncIterator[World]:
    with TemporaryDirectory() as sockets:
        world = World(Path(sockets))
        async with world.peers():
            yield world


@pytest.fixture
def resting(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set once an orchestrator that is stopped begins nothing more."""
    event, rest = asyncio.Event(), OwnedRuns.rest

    def told(owned: OwnedRuns) -> None:
        rest(owned)
        event.set()

    monkeypatch.setattr(OwnedRuns, "rest", told)
    return event
