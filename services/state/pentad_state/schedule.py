"""The schedule: orchestrators wait here for work, and for word of what to do with what they hold.

A partition with work announces itself. Announcements can be lost, so that while somebody waits all
partitions are looked at once a second; that finds expired leases as well. Whoever looks learns when
the next run there may begin, and looks again then. When nobody waits, nothing is asked.
"""

import asyncio
import math
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from pentad.state.v1.run_service_pb2 import Claim, ClaimedRun
from pentad_chassis.clock import Clock
from pentad_state.bounds import check_name
from pentad_state.leases import Asked, Leases, View, lease_ms
from pentad_state.metrics import StateMetrics
from pentad_state.partitions import PARTITIONS
from pentad_state.parts import answers
from pentad_state.turns import Candidate, Turns
from pentad_state.waiting import wait_for

_SWEEP_S = 0.9
_WAIT_S_MAX = 30.0
_CLAIMS_MAX = 200
_PEEK_MIN = 4
"""Enough to see who else waits behind the tenant that has most."""
_PEEK_WELL = 8
_CLAIMS_AT_ONCE = 8
_CLAIMS_BYTES = 4 * 1024 * 1024
_OWNERS_MAX = 1000
_LETTERS_MAX = 1000


class Schedule:
    """Hands out what waits, fairly among those who ask."""

    def __init__(self, leases: Leases, clock: Clock, metrics: StateMetrics) -> None:
        self._leases = leases
        self._clock = clock
        self._metrics = metrics
        self._hot: set[int] = set()
        """Partitions that may have work."""
        self._due: dict[int, float] = {}
        """When a run that waits for a time may go on, by partition."""
        self._swept = -math.inf
        self._turns = Turns()
        self._taking = asyncio.Lock()
        self._mail = _Mail()
        self._waiting: dict[_Waiter, None] = {}
        """In the order of their coming."""

    def heard(self, message: bytes) -> None:
        """Take note of `ready PARTITION`, or of word for an owner, as `cancel RUN OWNER`."""
        match message.decode(errors="replace").split(" ", 2):
            case ["ready", partition] if partition.isdecimal():
                self._hot.add(int(partition) % PARTITIONS)
                self._wake_next()
            case ["cancel" | "pause" | "signal", run_id, owner]:
                self._mail.put(owner, run_id)
                for waiter in self._waiting:
                    if waiter.owner == owner:
                        waiter.event.set()

    def missed(self) -> None:
        """Look everywhere, for any announcement may have been lost."""
        self._swept = -math.inf
        self._wake_next()

    async def poll(self, claim: Claim, limit: int, wait_s: float) -> tuple[list[ClaimedRun], Asked]:
        """Return work and word as soon as there is any; nothing after `wait_s` seconds."""
        check_name("claim.owner", claim.owner)
        lease_ms(claim)
        limit = min(limit, _CLAIMS_MAX)
        until = self._clock.monotonic() + min(max(wait_s, 0.0), _WAIT_S_MAX)
        with self._waiter(claim.owner, limit) as waiter:
            while True:
                waiter.event.clear()
                runs = await self._take(claim, limit) if limit > 0 else []
                run_ids = self._mail.take(claim.owner)
                asked = await self._leases.asked(claim.owner, run_ids)
                left_s = until - self._clock.monotonic()
                if runs or any(asked) or left_s <= 0:
                    return runs, asked
                await wait_for(waiter.event, min(left_s, self._quiet_s(limit)))

    @contextmanager
    def _waiter(self, owner: str, limit: int) -> "Iterator[_Waiter]":
        """Stand in the queue; who leaves it hands the turn on."""
        waiter = _Waiter(owner, wants_work=limit > 0)
        self._waiting[waiter] = None
        self._mail.open(owner)
        try:
            yield waiter
        finally:
            del self._waiting[waiter]
            if self._hot:
                self._wake_next()

    def _wake_next(self) -> None:
        for waiter in self._waiting:
            if waiter.wants_work:
                waiter.event.set()
                return

    async def _take(self, claim: Claim, limit: int) -> list[ClaimedRun]:
        """Claim what is next of all that waits, leaving their share to the others in the queue."""
        async with self._taking:
            hot = self._to_look_at()
            if not hot:
                return []
            try:
                # Enough of each to fill the limit well, without reading a whole backlog each time.
                each = max(_PEEK_MIN, min(limit, max(_PEEK_WELL, 4 * limit // len(hot))))
                found = await self._leases.peek(hot, each)
                candidates = self._turns.arrange(c for v in found.values() for c in v.candidates)
                asking = sum(waiter.wants_work for waiter in self._waiting)
                share = min(limit, math.ceil(len(candidates) / max(asking, 1)))
                claimed, tried = await self._claim(candidates[:share], claim)
            except BaseException:
                self._hot.update(hot)
                raise
            self._note(found, tried)
            return claimed

    def _note(self, found: Mapping[int, View], tried: set[Candidate]) -> None:
        """Remember where there is more, and where there will be."""
        now = self._clock.monotonic()
        for partition, view in found.items():
            if {*view.candidates} - tried:
                self._hot.add(partition)
            self._due.pop(partition, None)
            if view.due_s is not None:
                self._due[partition] = now + view.due_s

    def _quiet_s(self, limit: int) -> float:
        """Return how long there is no need to look for work that is not announced."""
        if limit <= 0 or not self._due:
            return _SWEEP_S
        return min(max(min(self._due.values()) - self._clock.monotonic(), 0.0), _SWEEP_S)

    async def _claim(
        self, candidates: Sequence[Candidate], claim: Claim
    ) -> tuple[list[ClaimedRun], set[Candidate]]:
        """Claim a few at a time, until all were tried or their journals fill a message."""
        claimed: list[ClaimedRun] = []
        size = 0
        for first in range(0, len(candidates), _CLAIMS_AT_ONCE):
            some = candidates[first : first + _CLAIMS_AT_ONCE]
            # What was claimed is handed out, whatever became of the others.
            found = await answers({i: self._leases.claim(c, claim) for i, c in enumerate(some)})
            taken = [(some[i], run) for i, run in sorted(found.items()) if run is not None]
            self._turns.served(candidate for candidate, _ in taken)
            for candidate, run in taken:
                if not (candidate.waits and candidate.begun):  # nobody says since when it waits
                    age_s = self._clock.now() - candidate.since_ms / 1000
                    self._metrics.picked_up(waited=candidate.waits, seconds=age_s)
                claimed.append(run)
                size += run.ByteSize()
            if size >= _CLAIMS_BYTES:
                return claimed, set(candidates[: first + _CLAIMS_AT_ONCE])
        return claimed, set(candidates)

    def _to_look_at(self) -> list[int]:
        """Return the partitions that may have work, and consider them looked at."""
        now = self._clock.monotonic()
        if now - self._swept >= _SWEEP_S:
            self._swept = now
            self._hot.update(range(PARTITIONS))
        self._hot.update(p for p, at in self._due.items() if at <= now)
        hot = sorted(self._hot)
        self._hot.clear()
        return hot


class _Waiter:
    """One poll in the queue."""

    def __init__(self, owner: str, *, wants_work: bool) -> None:
        self.owner = owner
        self.wants_work = wants_work
        self.event = asyncio.Event()


class _Mail:
    """Word for owners who asked lately: kept between two of an owner's polls."""

    def __init__(self) -> None:
        self._boxes: OrderedDict[str, dict[str, None]] = OrderedDict()

    def open(self, owner: str) -> None:
        """Keep word for an owner from now on; the owner who asked least lately is forgotten."""
        self._boxes.setdefault(owner, {})
        self._boxes.move_to_end(owner)
        if len(self._boxes) > _OWNERS_MAX:
            self._boxes.popitem(last=False)

    def put(self, owner: str, run_id: str) -> None:
        """Keep word of a run; what finds no room reaches its owner with the next renewal."""
        box = self._boxes.get(owner)
        if box is not None and len(box) < _LETTERS_MAX:
            box[run_id] = None

    def take(self, owner: str) -> list[str]:
        """Return the runs there is word of, and forget them."""
        box = self._boxes.get(owner)
        if not box:
            return []
        run_ids = list(box)
        box.clear()
        return run_ids
