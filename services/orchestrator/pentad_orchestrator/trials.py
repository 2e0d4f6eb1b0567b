"""Suspects: runs on which owners died again and again are begun one at a time.

When a process dies, every run that it had begun has lost an owner, and one of them may be the
reason. Those that lose too many are set apart from each other, so that the next death is counted
against the one that brings it about, and against none of its neighbours.
"""

import asyncio

from pentad_orchestrator.plan import OWNERS_LOST_MAX

SUSPECT_FROM = 3
"""Owners lost in a row; below that, deaths are likelier to be the process's or the machine's."""


class Trials:
    """Lets one suspect of this process work at a time, until it gets somewhere or ends.

    A suspect is known by the event that wakes its driver: of one run there may be two, while the
    driver of a lost lease ends.
    """

    def __init__(self) -> None:
        self._on_trial: asyncio.Event | None = None
        self._waiting: set[asyncio.Event] = set()

    def may_begin(self, wake: asyncio.Event, owners_lost: int) -> bool:
        """Whether work may begin now; if not, `wake` is set when it is to be asked again.

        Nothing holds back a run that is given up as soon as it begins.
        """
        if not SUSPECT_FROM <= owners_lost < OWNERS_LOST_MAX:
            return True
        if self._on_trial in {None, wake}:
            self._on_trial = wake
            self._waiting.discard(wake)
            return True
        self._waiting.add(wake)
        return False

    def over(self, wake: asyncio.Event) -> None:
        """Take note that a run got somewhere, or is in other hands."""
        self._waiting.discard(wake)
        if self._on_trial is wake:
            self._on_trial = None
            for waiting in self._waiting:
                waiting.set()
