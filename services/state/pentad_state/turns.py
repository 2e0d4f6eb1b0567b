"""Turns: which of the runs that may be claimed goes next.

Each partition keeps its own runs in an order in which tenants take turns. A run's partition is
chance, so that a tenant with many runs stands first in most of them: who has been served lately is
therefore remembered here, too, over all partitions.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from pentad_state.pages import STAMP
from pentad_state.partitions import RUN_ID_CHARS

_LEVEL = 2**45
"""Scores of one level; the scripts say the same."""

_ID = 2 + STAMP
_TENANT = _ID + RUN_ID_CHARS
"""Where parts of a place begin; level, time and id stand in it one behind the other."""

_TENANTS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Candidate:
    """A run that may be claimed."""

    run_id: str
    place: bytes
    """Where it stands among those that wait; empty when its lease has expired."""
    tenant: str
    level: int
    """A lower one goes first."""
    begun: bool
    """Somebody has worked on it, or it is asked to stop: it takes no turn."""
    since_ms: float

    @property
    def waits(self) -> bool:
        """False when its lease has expired."""
        return bool(self.place)

    @classmethod
    def expired(cls, run_id: bytes, expiry: bytes) -> "Candidate":
        """Return a run whose owner let its lease run out: it goes first, for it was begun."""
        return cls(run_id.decode(), b"", "", -1, begun=True, since_ms=float(expiry))

    @classmethod
    def waiting(cls, place: bytes, score: bytes) -> "Candidate":
        """Return a run that waits."""
        level, turn = divmod(int(float(score)), _LEVEL)
        return cls(
            run_id=place[_ID:_TENANT].decode(),
            place=place,
            tenant=place[_TENANT:].decode(),
            level=level,
            begun=turn == 0,
            since_ms=float(place[2:_ID]),
        )


class Turns:
    """A ring of tenants: who was served goes to its end, and so does who is new."""

    def __init__(self) -> None:
        self._ring: OrderedDict[str, None] = OrderedDict()

    def arrange(self, candidates: Iterable[Candidate]) -> list[Candidate]:
        """Return them as they are to be claimed: by level; in one, tenants take turns, by age."""
        oldest_first = sorted(candidates, key=lambda c: (c.since_ms, c.run_id))
        for candidate in oldest_first:
            if not candidate.begun:
                self._ring.setdefault(candidate.tenant)
        seats = {tenant: seat for seat, tenant in enumerate(self._ring)}
        rounds: defaultdict[tuple[int, str], int] = defaultdict(int)
        order: dict[Candidate, tuple[int, bool, int, int]] = {}
        for c in oldest_first:
            if c.begun:
                order[c] = (c.level, False, 0, 0)
            else:
                order[c] = (c.level, True, rounds[c.level, c.tenant], seats[c.tenant])
                rounds[c.level, c.tenant] += 1
        return sorted(oldest_first, key=order.__getitem__)

    def served(self, candidates: Iterable[Candidate]) -> None:
        """Take note of whose runs were claimed."""
        for candidate in candidates:
            if not candidate.begun and candidate.tenant in self._ring:
                self._ring.move_to_end(candidate.tenant)
        while len(self._ring) > _TENANTS_MAX:
            self._ring.popitem(last=False)
