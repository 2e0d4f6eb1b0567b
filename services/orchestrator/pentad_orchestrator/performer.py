"""Commands carried out: each in one place, each ending in the event that says how it went."""

import asyncio
from collections.abc import Sequence

from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.message_pb2 import Message
from pentad_orchestrator import plan
from pentad_orchestrator.calls import Calls
from pentad_orchestrator.commands import (
    ExecuteTurn,
    InvokeTool,
    SaveSession,
    Sleep,
    StartChild,
    Work,
)
from pentad_orchestrator.conversation import Conversation
from pentad_orchestrator.journal import Journal
from pentad_orchestrator.offspring import Offspring
from pentad_orchestrator.run import Run
from pentad_orchestrator.turns import Turns


class Performer:
    """Executes commands of any run; remembers nothing of them."""

    def __init__(
        self, turns: Turns, calls: Calls, conversation: Conversation, offspring: Offspring
    ) -> None:
        self._turns = turns
        self._calls = calls
        self._offspring = offspring
        self.conversation = conversation

    async def perform(
        self, command: Work, run: Run, history: Sequence[Message], journal: Journal
    ) -> Event:
        """Return the event in which the command ends; cancelling it ends the work at the peer."""
        match command:
            case ExecuteTurn():
                return await self._turns.execute(run, history, journal.lease)
            case InvokeTool():
                return await self._calls.invoke(run, command)
            case StartChild():
                return await self._offspring.start(run, command)
            case Sleep(until_s=until_s):
                await asyncio.sleep(max(0.0, until_s - journal.now()))
                return plan.restarted(run)
            case SaveSession():
                return await self.conversation.save(run)
