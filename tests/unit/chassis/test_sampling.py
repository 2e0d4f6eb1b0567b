"""Of a crowd of traces a part is kept, and all of those who come one by one."""

from opentelemetry.sdk.trace.sampling import Decision

from pentad_chassis.clock import FakeClock
from pentad_chassis.sampling import RateLimited

CREATE, GET = "RunService/CreateRun", "RunService/GetRun"


def kept(sampler: RateLimited, name: str, calls: int) -> int:
    decided = (sampler.should_sample(None, n, name).decision for n in range(calls))
    return sum(decision is Decision.RECORD_AND_SAMPLE for decision in decided)


def test_a_crowd_is_kept_in_part() -> None:
    clock = FakeClock()
    sampler = RateLimited(10, clock.monotonic)

    assert kept(sampler, CREATE, 2000) == 500
    clock.advance(1.0)
    assert kept(sampler, CREATE, 100) == 10
    clock.advance(3600.0)
    assert kept(sampler, CREATE, 2000) == 500


def test_who_polls_takes_nothing_from_those_who_create() -> None:
    sampler = RateLimited(10, FakeClock().monotonic)

    kept(sampler, GET, 5000)

    assert kept(sampler, CREATE, 100) == 100


def test_names_that_callers_make_up_share_what_there_is() -> None:
    sampler = RateLimited(10, FakeClock().monotonic)

    assert sum(kept(sampler, f"made up {n}", 1) for n in range(5000)) < 1000
