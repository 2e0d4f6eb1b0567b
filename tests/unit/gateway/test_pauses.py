"""What may be said of runs that wait: for their start, or for a person."""

from typing import Any

import pytest
from google.protobuf.json_format import ParseDict

from pentad.gateway.v1.run_service_pb2 import CreateRunRequest, ResumeRunRequest
from pentad.state.v1.message_pb2 import Payload
from pentad.state.v1.run_pb2 import RunSpec, Settlement
from pentad_gateway import validation

KIB = 1024
NOW_S = 1_800_000_000
YEAR_S = 365 * 24 * 3600
FOUND = Payload(text="5")


def spec_faults(**changes: Any) -> list[str]:
    request = CreateRunRequest(spec=RunSpec(agent="clerk", input="hello"))
    ParseDict(changes, request.spec)
    return [v.field for v in validation.create_run(request, float(NOW_S))]


def faults(*settlements: Settlement, **fields: Any) -> list[str]:
    request = ResumeRunRequest(run_id="r", settlements=settlements, **fields)
    return [v.field for v in validation.resume_run(request)]


@pytest.mark.parametrize("priority", [-10, 0, 10])
def test_priorities_have_bounds_that_hold(priority: int) -> None:
    assert spec_faults(priority=priority) == []


@pytest.mark.parametrize("priority", [-11, 11, 2**31 - 1])
def test_priorities_beyond_them_are_refused(priority: int) -> None:
    assert spec_faults(priority=priority) == ["spec.priority"]


@pytest.mark.parametrize("seconds", [-1, 0, NOW_S, NOW_S + YEAR_S])
def test_a_start_may_be_long_ago_or_a_year_ahead(seconds: int) -> None:
    request = CreateRunRequest(spec=RunSpec(agent="clerk", input="hello"))
    request.spec.start_time.seconds = seconds

    assert validation.create_run(request, float(NOW_S)) == []


@pytest.mark.parametrize(
    ("seconds", "nanos"),
    [(NOW_S + YEAR_S + 1, 0), (NOW_S, -1), (NOW_S, 10**9), (2**62, 0), (-(2**62), 0)],
)
def test_a_start_that_is_no_time_or_too_far_is_refused(seconds: int, nanos: int) -> None:
    request = CreateRunRequest(spec=RunSpec(agent="clerk", input="hello"))
    request.spec.start_time.seconds = seconds
    request.spec.start_time.nanos = nanos

    found = validation.create_run(request, float(NOW_S))
    assert [v.field for v in found] == ["spec.start_time"]


def test_a_settlement_says_one_thing_about_one_call() -> None:
    assert faults() == []
    assert faults(
        Settlement(call_id="0.1.0", result=FOUND),
        Settlement(call_id="0.1.1", not_done=True),
        Settlement(call_id="0.1.2", failure="it did not work"),
        reason="looked it up",
        request_id="r-1",
    ) == []  # fmt: skip


@pytest.mark.parametrize(
    ("settlement", "field"),
    [
        (Settlement(call_id="a"), "settlements[0]"),
        (Settlement(not_done=True), "settlements[0].call_id"),
        (Settlement(call_id="x" * 129, not_done=True), "settlements[0].call_id"),
        (Settlement(call_id="a", not_done=False), "settlements[0].not_done"),
        (Settlement(call_id="a", not_done=True, attempt=-1), "settlements[0].attempt"),
        (Settlement(call_id="a", failure=" "), "settlements[0].failure"),
        (Settlement(call_id="a", failure="x" * (KIB + 1)), "settlements[0].failure"),
        (Settlement(call_id="a", result=Payload()), "settlements[0].result"),
        (Settlement(call_id="a", result=Payload(text="x" * 256 * KIB)), "settlements[0].result"),
    ],
)
def test_a_settlement_that_says_nothing_or_too_much_is_refused(
    settlement: Settlement, field: str
) -> None:
    assert faults(settlement) == [field]


def test_settlements_are_of_different_calls_and_not_too_many() -> None:
    twice = [Settlement(call_id="a", not_done=True)] * 2
    assert faults(*twice) == ["settlements[1].call_id"]

    many = [Settlement(call_id=f"{i}", not_done=True) for i in range(101)]
    assert faults(*many) == ["settlements"]

    large = [Settlement(call_id=f"{i}", result=Payload(text="x" * 200 * KIB)) for i in range(2)]
    assert faults(*large) == ["settlements"]


def test_the_reason_and_the_ids_have_bounds() -> None:
    assert faults(reason="x" * (KIB + 1), request_id="x" * 129) == ["request_id", "reason"]
    assert [v.field for v in validation.resume_run(ResumeRunRequest())] == ["run_id"]
