"""When a run that only waits is let go of: not at once, for most waits are short."""

import asyncio

PARK_S = 1.0
"""A run that waits for less than this stays with its owner, which costs nothing but a place."""


class Parking:
    """Tells when there has been nothing but waiting for a while."""

    def __init__(self, wake: asyncio.Event) -> None:
        self._wake = wake
        self._timer: asyncio.TimerHandle | None = None
        self.is_due = False
        """The run is to be let go of."""

    def watch(self, waits: bool) -> None:  # noqa: FBT001 - it is all that there is to say
        """Take note of whether there is nothing but waiting; only if so, time runs on."""
        if not waits:
            self.is_due = False
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PARK_S, self._is_over)

    def _is_over(self) -> None:
        self.is_due = True
        self._wake.set()
