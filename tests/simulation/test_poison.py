"""A run that kills whoever works on it is given up; those beside it are not."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest
from simulation.loop import VirtualLoop, current, virtual
from simulation.people import Client, Operator
from simulation.stored import Rules
from simulation.wire import Wire
from simulation.world import World, stand_ins

from pentad.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceStub
from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.run_pb2 import RunSpec, RunStatus
from pentad.state.v1.run_service_pb2_grpc import RunServiceStub
from pentad_orchestrator.plan import OWNERS_LOST_MAX
from pentad_orchestrator.run import Run
from pentad_orchestrator.trials import SUSPECT_FROM
from pentad_orchestrator.turns import Turns

DEADLY = "a question that nobody survives"
NEIGHBOURS = 12


class Poisoned(World):
    """A suite whose only trouble is one of its runs."""

    async def play(self) -> None:
        """Have the deadly run and its neighbours, all at once, and see them to their end."""
        state: Any = Wire(self.network, "state")
        orchestrator: Any = Wire(self.network, "orchestrator")
        runs = RunServiceStub(state)
        client = Client(self.network, OrchestratorServiceStub(orchestrator), runs, self.watch)
        for name in ("o0", "o1", "t0", "t1", "e0"):
            self.start(name)
        operator = asyncio.create_task(Operator(self.network, self.runs, runs, self.outside).work())
        asked = [DEADLY, *(f"job {number}" for number in range(NEIGHBOURS))]
        await asyncio.gather(
            *(client.have(f"r{n}", RunSpec(agent="clerk", input=i)) for n, i in enumerate(asked))
        )
        await self.until_ended()
        operator.cancel()


@contextmanager
def deadly(world: World) -> Iterator[None]:
    """Have an orchestrator die as soon as it asks a model that one question."""
    execute = Turns.execute

    async def ask(self: Turns, run: Run, history: Sequence[Any], lease: Any) -> Event:
        if run.created.spec.input == DEADLY:
            world.end(current().name.partition("#")[0])
            await asyncio.Event().wait()
        return await execute(self, run, history, lease)

    with patch.object(Turns, "execute", ask):
        yield


def play(loop: VirtualLoop, seed: int) -> World:
    """Return the world when all has ended."""
    world = Poisoned(loop, seed, Rules())
    try:
        with deadly(world):
            loop.run_until_complete(world.play())
    finally:
        loop.run_until_complete(world.close())
    return world


@pytest.mark.parametrize("seed", range(6))
def test_neighbours_of_a_run_that_kills_its_owners_come_to_their_own_end(seed: int) -> None:
    with virtual(seed) as loop, stand_ins():
        world = play(loop, seed)

    asked = [s for s in world.runs.stored.values() if not s.journal[0].run_created.parent.run_id]
    ends = {stored.run.spec.input: stored.run.status for stored in asked}
    failure = ends.pop(DEADLY).failure
    assert failure.reason == "RUN_POISONED"
    assert failure.metadata["owners_lost"] == str(OWNERS_LOST_MAX)
    assert {status.state for status in ends.values()} == {RunStatus.STATE_COMPLETED}
    owners_lost = [stored.lost for stored in asked]
    assert len(owners_lost) == 1 + NEIGHBOURS
    assert sum(lost >= SUSPECT_FROM for lost in owners_lost) > 1, "neighbours died with it"
    assert not world.watch.violations
