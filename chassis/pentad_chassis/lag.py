"""How far a process is behind its work: the queue time of an event loop."""

import asyncio
import time

_INTERVAL_S = 0.1
"""A loop that is slow once is not behind; one that stays slow for this long is (as in CoDel)."""

_FORGET_S = 2.0
"""What was measured longer ago says nothing; longer than any turn of a loop worth waiting for."""


class LoopLag:
    """Measures how long a turn of the event loop takes. It costs nothing while nobody asks."""

    def __init__(self, most_s: float) -> None:
        self._most_s = most_s
        self._measuring = False
        self._measured_at = 0.0
        self._behind_since: float | None = None

    def is_behind(self) -> bool:
        """Whether everything has waited too long for a while now."""
        now = time.monotonic()
        if not self._measuring:
            self._measuring = True
            # From one callback to the next that it asks for is a whole turn; from now to the first
            # is any part of one.
            asyncio.get_running_loop().call_soon(self._turn_begins)
            if now - self._measured_at > _FORGET_S:
                self._behind_since = None  # nobody asked meanwhile
        since = self._behind_since
        return since is not None and now - since >= _INTERVAL_S

    def _turn_begins(self) -> None:
        asyncio.get_running_loop().call_soon(self._turn_ends, time.monotonic())

    def _turn_ends(self, began_at: float) -> None:
        self._measuring = False
        now = self._measured_at = time.monotonic()
        if now - began_at <= self._most_s:
            self._behind_since = None
        elif self._behind_since is None:
            self._behind_since = began_at
