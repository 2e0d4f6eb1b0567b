"""Schedules at the edge: every bound from both sides, and whom the gateway asks."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st
from unit.gateway.strategies import messages
from unit.gateway.test_validation import resolves

from pentad.gateway.v1 import schedule_service_pb2 as pb
from pentad.orchestrator.v1 import schedule_service_pb2 as orchestrator_pb
from pentad.state.v1.schedule_pb2 import Firing, Schedule
from pentad_chassis.clock import FakeClock
from pentad_chassis.errors import FieldViolation
from pentad_gateway import validation
from pentad_gateway.errors import RequestInvalid
from pentad_gateway.schedules import ScheduleCore

NOW_S = 1_800_000_000.0
SPEC: dict[str, Any] = {"agent": "clerk", "input": "it is {time}"}
SCHEDULE: dict[str, Any] = {"name": "tick", "cron": "* * * * *", "spec": SPEC}
CHECKS: dict[type[Message], Callable[[Any], list[FieldViolation]]] = {
    pb.CreateScheduleRequest: validation.create_schedule,
    pb.UpdateScheduleRequest: validation.update_schedule,
    pb.GetScheduleRequest: validation.name_schedule,
    pb.DeleteScheduleRequest: validation.name_schedule,
    pb.PauseScheduleRequest: validation.name_schedule,
    pb.ResumeScheduleRequest: validation.name_schedule,
    pb.ListScheduleFiringsRequest: validation.name_schedule,
    pb.ListSchedulesRequest: validation.list_schedules,
    pb.TriggerScheduleRequest: validation.trigger_schedule,
    pb.BackfillScheduleRequest: partial(validation.backfill_schedule, now_s=NOW_S),
}


def wrong(**changes: Any) -> list[str]:
    """Return the fields at fault of a schedule with changes."""
    request = ParseDict({"schedule": SCHEDULE | changes}, pb.CreateScheduleRequest())
    return [
        violation.field.removeprefix("schedule.")
        for violation in validation.create_schedule(request)
    ]


def each(every: str, phase: str = "0s") -> dict[str, Any]:
    """Return what makes the schedule one at a constant distance."""
    return {"cron": None, "interval": {"every": every, "phase": phase}}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        each("1s"),
        each("31536000s", "31535999s"),
        each("1.500s", "1.499s"),
        {"cron": "*" * 256},
        {"overlap": "OVERLAP_QUEUE", "queueLimit": 100},
        {"catchUp": "10s", "jitter": "3600s", "maxRuns": 1},
        {"catchUp": "31536000s"},
        {"startTime": "1970-01-01T00:00:00Z", "endTime": "2199-12-31T23:59:59Z"},
        {"startTime": "2027-01-01T00:00:00Z", "endTime": "2027-01-01T00:00:00Z"},
        {"spec": SPEC | {"input": "x" * (127 * 1024), "priority": 10}},
    ],
)
def test_a_schedule_within_its_bounds_is_valid(changes: dict[str, Any]) -> None:
    assert wrong(**changes) == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": "Tick"}, "name"),
        ({"name": ""}, "name"),
        ({"cron": None}, "cron"),
        ({"cron": " "}, "cron"),
        ({"cron": "*" * 257}, "cron"),
        (each("0s"), "interval.every"),
        (each("0.999s"), "interval.every"),
        (each("31536001s"), "interval.every"),
        (each("1.0001s"), "interval.every"),
        (each("2s", "2s"), "interval.phase"),
        (each("2s", "-1s"), "interval.phase"),
        ({"timeZone": "x" * 65}, "time_zone"),
        ({"queueLimit": 101}, "queue_limit"),
        ({"queueLimit": -1}, "queue_limit"),
        ({"catchUp": "9s"}, "catch_up"),
        ({"catchUp": "0s"}, "catch_up"),
        ({"jitter": "3601s"}, "jitter"),
        ({"jitter": "-1s"}, "jitter"),
        ({"maxRuns": -1}, "max_runs"),
        ({"overlap": 9}, "overlap"),
        ({"startTime": "1969-12-31T23:59:59Z"}, "start_time"),
        ({"endTime": "2200-01-01T00:00:01Z"}, "end_time"),
        ({"startTime": "2027-01-02T00:00:00Z", "endTime": "2027-01-01T00:00:00Z"}, "end_time"),
        ({"spec": SPEC | {"input": "x" * (128 * 1024)}}, ""),
        ({"spec": SPEC | {"input": ""}}, "spec.input"),
        ({"spec": SPEC | {"agent": "Clerk"}}, "spec.agent"),
        ({"spec": SPEC | {"priority": 11}}, "spec.priority"),
        ({"spec": SPEC | {"startTime": "2027-01-01T00:00:00Z"}}, "spec.start_time"),
        ({"spec": {}}, "spec.input"),
    ],
)
def test_what_breaks_a_bound_is_named(changes: dict[str, Any], field: str) -> None:
    found = wrong(**changes)

    assert field in found or (not field and found == ["schedule"])


@pytest.mark.parametrize(
    ("begin", "end", "fields"),
    [
        (NOW_S - 10, NOW_S, []),
        (NOW_S - 10, NOW_S - 10, []),
        (NOW_S - 10, NOW_S + 1, ["to_time"]),
        (NOW_S - 10, NOW_S - 11, ["to_time"]),
        (-1, NOW_S, ["from_time"]),
        (None, None, ["from_time", "to_time"]),
    ],
)
def test_a_backfill_is_about_the_past(
    begin: float | None, end: float | None, fields: list[str]
) -> None:
    request = pb.BackfillScheduleRequest(name="tick")
    if begin is not None and end is not None:
        request.from_time.FromSeconds(int(begin))
        request.to_time.FromSeconds(int(end))

    found = validation.backfill_schedule(request, NOW_S)
    assert [violation.field for violation in found] == fields


@given(st.sampled_from(list(CHECKS)).flatmap(messages))
def test_whatever_is_sent_gets_an_answer_that_names_real_fields(request: Message) -> None:
    for violation in CHECKS[type(request)](request):
        assert resolves(request.DESCRIPTOR, violation.field), violation.field


class Orchestrator:
    """Notes what it is asked, and answers in kind."""

    def __init__(self) -> None:
        self.asked: list[Message] = []

    def __getattr__(self, method: str) -> Callable[[Message], Any]:
        async def answer(request: Message) -> Message:
            self.asked.append(request)
            response: Message = getattr(orchestrator_pb, f"{method}Response")()
            return ParseDict(ANSWERS.get(method, {"schedule": {"name": "tick"}}), response)

        return answer


ANSWERS: dict[str, dict[str, Any]] = {
    "ListSchedules": {"schedules": [{"name": "tick"}], "nextPageToken": "more"},
    "DeleteSchedule": {},
    "TriggerSchedule": {"runId": "01run"},
    "BackfillSchedule": {"times": 3},
    "ListScheduleFirings": {"firings": [{"runId": "01run"}]},
}


async def test_what_is_valid_is_asked_of_the_orchestrator_for_the_callers_tenant() -> None:
    orchestrator = Orchestrator()
    core = ScheduleCore(orchestrator, FakeClock(NOW_S))  # type: ignore[arg-type]
    schedule = ParseDict(SCHEDULE, Schedule())
    past = {"from_time": {"seconds": 1}, "to_time": {"seconds": 2}}
    answers = [
        await core.create_schedule(
            "acme", pb.CreateScheduleRequest(schedule=schedule, request_id="r")
        ),
        await core.update_schedule(
            "acme", pb.UpdateScheduleRequest(schedule=schedule, expected_generation=7)
        ),
        await core.get_schedule("acme", pb.GetScheduleRequest(name="tick")),
        await core.pause_schedule("acme", pb.PauseScheduleRequest(name="tick")),
        await core.resume_schedule("acme", pb.ResumeScheduleRequest(name="tick")),
    ]
    page = await core.list_schedules("acme", pb.ListSchedulesRequest(page_size=9, page_token="t"))
    run_id = await core.trigger_schedule(
        "acme", pb.TriggerScheduleRequest(name="tick", request_id="r")
    )
    times = await core.backfill_schedule(
        "acme",
        pb.BackfillScheduleRequest(name="tick", request_id="r", **past),  # type: ignore[arg-type]
    )
    firings = await core.list_schedule_firings("acme", pb.ListScheduleFiringsRequest(name="tick"))
    await core.delete_schedule("acme", pb.DeleteScheduleRequest(name="tick"))

    named = {"tenant": "acme", "name": "tick"}
    assert answers == [Schedule(name="tick")] * 5
    assert (page.next_page_token, run_id, times) == ("more", "01run", 3)
    assert firings == [Firing(run_id="01run")]
    assert orchestrator.asked == [
        orchestrator_pb.CreateScheduleRequest(tenant="acme", schedule=schedule, request_id="r"),
        orchestrator_pb.UpdateScheduleRequest(
            tenant="acme", schedule=schedule, expected_generation=7
        ),
        orchestrator_pb.GetScheduleRequest(**named),
        orchestrator_pb.PauseScheduleRequest(**named),
        orchestrator_pb.ResumeScheduleRequest(**named),
        orchestrator_pb.ListSchedulesRequest(tenant="acme", page_size=9, page_token="t"),
        orchestrator_pb.TriggerScheduleRequest(**named, request_id="r"),
        orchestrator_pb.BackfillScheduleRequest(**named, request_id="r", **past),  # type: ignore[arg-type]
        orchestrator_pb.ListScheduleFiringsRequest(**named),
        orchestrator_pb.DeleteScheduleRequest(**named),
    ]


async def test_a_request_without_an_id_is_given_one_and_one_that_is_wrong_asks_nobody() -> None:
    orchestrator = Orchestrator()
    core = ScheduleCore(orchestrator, FakeClock(NOW_S))  # type: ignore[arg-type]
    await core.trigger_schedule("acme", pb.TriggerScheduleRequest(name="tick"))
    with pytest.raises(RequestInvalid):
        await core.create_schedule("acme", pb.CreateScheduleRequest())

    (asked,) = orchestrator.asked
    assert isinstance(asked, orchestrator_pb.TriggerScheduleRequest)
    assert len(asked.request_id) == 26
