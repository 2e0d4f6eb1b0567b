"""Patience that takes no time."""

from pentad_chassis.telemetry import silent_telemetry
from pentad_orchestrator.patience import Patience


class Naps:
    """Sleeps in no time and remembers how long they would have been."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)


def patience(naps: Naps | None = None) -> Patience:
    log = silent_telemetry("orchestrator").log
    return Patience(0.1, 10.0, log, draw=lambda _, most: most, sleep=naps or Naps())
