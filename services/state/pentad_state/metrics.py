"""What the state service counts of its store, its schedule and its tails."""

import asyncio
from collections.abc import Callable

from pentad_chassis.errors import ServiceError
from pentad_chassis.metrics import LONG_BUCKETS_S, Metrics
from pentad_state.partitions import PARTITIONS, key
from pentad_state.store import Store

_SAMPLE_S = 5.0
_BATCH_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


class StateMetrics:
    """Numbers of one process; what stands in the store itself is the same in every replica."""

    def __init__(self, metrics: Metrics) -> None:
        self._round_trips = metrics.timings(
            "pentad_store_round_trip_seconds", "Time from sending a batch to its last reply."
        )
        self._batches = metrics.histogram(
            "pentad_store_batch_commands", "Commands that left together.", (), _BATCH_BUCKETS
        )
        self._waiting = metrics.gauge(
            "pentad_store_commands_waiting", "Commands that wait for the batch before theirs."
        )
        self._depth = metrics.gauge(
            "pentad_schedule_depth", "Runs that wait for an orchestrator, as of the last sample."
        )
        self._pickups = metrics.timings(
            "pentad_schedule_pickup_delay_seconds",
            "Age of a run's place in the schedule when it is claimed: since its creation if it "
            "waits to be begun, since its lease ended if it is lost.",
            ("kind",),
            LONG_BUCKETS_S,
        )
        self._tails = metrics.gauge(
            "pentad_tails_open", "Calls that follow a run or await its end."
        )

    def watch(self, waiting: Callable[[], int], tails: Callable[[], int]) -> None:
        """Read these two whenever somebody asks for the numbers."""
        self._waiting.set_function(waiting)
        self._tails.set_function(tails)

    def exchanged(self, commands: int, seconds: float) -> None:
        """Count a batch."""
        self._round_trips.observe(seconds)
        self._batches.observe(commands)

    def picked_up(self, *, waited: bool, seconds: float) -> None:
        """Count a run that was claimed."""
        self._pickups.observe(max(0.0, seconds), ("waiting" if waited else "lost",))

    async def sample(self, store: Store) -> None:
        """Look at the schedule now and then, until cancelled: one batch each time."""
        while True:
            try:
                depths = await asyncio.gather(
                    *(store.call("ZCARD", key(p, "ready")) for p in range(PARTITIONS))
                )
                self._depth.set(sum(depths))
            except ServiceError:
                pass  # the last known number stays; the store's own log tells of its absence
            await asyncio.sleep(_SAMPLE_S)
