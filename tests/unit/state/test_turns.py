"""Turns are taken by tenant, whatever is looked at."""

import pytest

from pentad_state import turns as module
from pentad_state.partitions import run_id_for
from pentad_state.turns import Candidate, Turns

LEVEL = 2**45


def waiting(tenant: str, since: int, *, level: int = 11, turn: int = 1) -> Candidate:
    run_id = run_id_for(tenant, str(since))
    place = f"{level:02d}{since:013d}{run_id}{tenant}".encode()
    return Candidate.waiting(place, str(level * LEVEL + turn).encode())


def test_a_place_says_who_stands_there() -> None:
    candidate = waiting("t€nant", 1_700_000_000_123, level=1, turn=7)

    assert candidate.run_id == run_id_for("t€nant", "1700000000123")
    assert candidate.tenant == "t€nant"
    assert (candidate.level, candidate.begun, candidate.waits) == (1, False, True)
    assert candidate.since_ms == 1_700_000_000_123
    assert waiting("a", 1, turn=0).begun


def test_expired_leases_go_first_and_then_levels() -> None:
    expired = Candidate.expired(run_id_for("x", "1").encode(), b"1700000000000")
    asked = Candidate.waiting(waiting("a", 9).place, b"0")
    released, urgent, plain = waiting("a", 8, turn=0), waiting("b", 5, level=1), waiting("a", 1)

    order = Turns().arrange([plain, urgent, released, asked, expired])

    assert order == [expired, asked, urgent, released, plain]
    assert not expired.waits


def test_who_was_served_goes_to_the_end() -> None:
    turns = Turns()
    runs = [waiting("a", i) for i in range(10)] + [waiting("b", i) for i in range(20, 22)]

    served = []
    while runs:
        first = turns.arrange(runs)[0]
        turns.served([first])
        runs.remove(first)
        served.append(first.tenant)

    assert "".join(served) == "ababaaaaaaaa"


def test_who_is_new_stands_behind_who_waits() -> None:
    turns = Turns()
    patient = waiting("patient", 50)
    turns.arrange([patient, waiting("first", 1)])

    # It has waited for longer, but this is seen only now.
    order = turns.arrange([patient, waiting("new", 2)])

    assert [c.tenant for c in order] == ["patient", "new"]


def test_tenants_are_remembered_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TENANTS_MAX", 100)
    turns = Turns()
    for i in range(150):
        turns.served(turns.arrange([waiting(f"t{i}", i)]))

    assert len(turns._ring) <= 100
