"""What is in execution for one run, and what came of it and is not journalled yet."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from pentad.state.v1.event_pb2 import Event
from pentad_orchestrator import plan
from pentad_orchestrator.commands import AwaitDeadline, AwaitTimer, Command, Sleep
from pentad_orchestrator.run import Run

Handle = asyncio.Task[None] | asyncio.TimerHandle

_TIMES = (AwaitTimer, AwaitDeadline)
_BY_ITSELF = (Sleep, *_TIMES)
"""What no peer has a hand in."""


class InFlight:
    """Commands that were begun, each until its outcome is taken."""

    def __init__(self, wake: asyncio.Event) -> None:
        self._begun: dict[Command, Handle] = {}
        self._outcomes: deque[tuple[Command, Event]] = deque()
        self._wake = wake

    def __contains__(self, command: Command) -> bool:
        return command in self._begun

    def agree(self, decided: Iterable[Command], begin: Callable[[Command], Handle]) -> None:
        """Make what is in execution agree with what is decided."""
        wanted = dict.fromkeys(decided)
        for command in self._begun.keys() - wanted.keys():
            self._begun.pop(command).cancel()
        for command in wanted:
            if command not in self._begun:
                self._begun[command] = begin(command)

    @property
    def at_peers(self) -> bool:
        """Whether something was begun at a peer whose outcome is to be journalled."""
        return any(not isinstance(command, _BY_ITSELF) for command in self._begun)

    @property
    def idle(self) -> bool:
        """Whether there is nothing but times that are waited for."""
        return all(isinstance(command, _TIMES) for command in self._begun)

    def ended(self, command: Command, event: Event) -> None:
        """Keep an outcome until it is taken."""
        self._outcomes.append((command, event))
        self._wake.set()

    def take(self, run: Run, bytes_max: int) -> list[Event]:
        """Return outcomes to journal; one that came too late to count is dropped."""
        events: list[Event] = []
        taken: Event | None = None
        size = 0
        while self._outcomes and size < bytes_max:
            command, event = self._outcomes.popleft()
            self._begun.pop(command, None)
            if taken is not None:
                run = plan.evolve(run, taken)
            taken = event if command in plan.decide(run) else None
            if taken is not None:
                events.append(taken)
                size += taken.ByteSize()
        if self._outcomes:
            self._wake.set()
        return events

    async def stop(self) -> None:
        """Cut everything off."""
        begun = list(self._begun.values())
        self._begun.clear()
        for each in begun:
            each.cancel()
        if tasks := [each for each in begun if isinstance(each, asyncio.Task)]:
            await asyncio.wait(tasks)
