"""How schedules are asked for and shown."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from pentad.gateway.v1 import schedule_service_pb2 as pb
from pentad.state.v1.run_pb2 import RunSpec
from pentad.state.v1.schedule_pb2 import Firing, Schedule
from pentad_chassis.errors import FieldViolation, InvalidArgument, NotFound
from pentad_cli.commands import schedules
from pentad_cli.failure import CommandFailed

TICK = Schedule(name="tick", cron="0 * * * *", spec=RunSpec(agent="clock", input="{time}"))
DOCUMENT = 'name: tick\ncron: "0 * * * *"\nspec: {agent: clock, input: "{time}"}\n'


class Gateway:
    """Keeps one schedule, and notes what it is asked."""

    def __init__(self) -> None:
        self.kept: Schedule | None = None
        self.asked: list[Any] = []
        self.refuses = False
        self.firings: list[Firing] = []

    async def CreateSchedule(self, request: pb.CreateScheduleRequest) -> pb.CreateScheduleResponse:
        self.asked.append(request)
        if self.refuses:
            error = InvalidArgument("no")
            error.reason = "SCHEDULE_INVALID"
            error.violations = (FieldViolation("schedule.cron", "must be right"),)
            raise error
        self.kept = Schedule()
        self.kept.CopyFrom(request.schedule)
        self.kept.generation = 1
        self.kept.next_times.add(seconds=1_800_000_000)
        return pb.CreateScheduleResponse(schedule=self.kept)

    async def GetSchedule(self, request: pb.GetScheduleRequest) -> pb.GetScheduleResponse:
        if self.kept is None:
            raise NotFound("none")
        return pb.GetScheduleResponse(schedule=self.kept)

    async def UpdateSchedule(self, request: pb.UpdateScheduleRequest) -> pb.UpdateScheduleResponse:
        assert self.kept is not None
        if request.schedule.cron != self.kept.cron:
            self.kept.cron = request.schedule.cron
            self.kept.generation += 1
        return pb.UpdateScheduleResponse(schedule=self.kept)

    async def ListSchedules(self, request: pb.ListSchedulesRequest) -> pb.ListSchedulesResponse:
        return pb.ListSchedulesResponse(schedules=[self.kept] if self.kept else [])

    async def ListScheduleFirings(
        self, request: pb.ListScheduleFiringsRequest
    ) -> pb.ListScheduleFiringsResponse:
        return pb.ListScheduleFiringsResponse(firings=self.firings)

    async def BackfillSchedule(
        self, request: pb.BackfillScheduleRequest
    ) -> pb.BackfillScheduleResponse:
        self.asked.append(request)
        return pb.BackfillScheduleResponse(times=3)


class Client:
    """A client of that gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self.schedules = gateway


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Gateway:
    gateway = Gateway()

    def call(work: Callable[[Client], Any]) -> Any:
        return asyncio.run(work(Client(gateway)))

    monkeypatch.setattr(schedules, "call", call)
    return gateway


def apply(tmp_path: Any, text: str) -> None:
    file = tmp_path / "tick.yaml"
    file.write_text(text)
    schedules.apply(file)


def test_a_document_is_created_then_unchanged_then_updated(
    gateway: Gateway, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    apply(tmp_path, DOCUMENT)
    apply(tmp_path, DOCUMENT)
    apply(tmp_path, DOCUMENT.replace("0 *", "5 *"))

    assert [line.split(", next ")[0] for line in capsys.readouterr().out.splitlines()] == [
        "schedule tick created",
        "schedule tick unchanged",
        "schedule tick updated",
    ]
    assert gateway.asked[0].schedule == TICK
    assert gateway.asked[0].request_id


def test_what_is_wrong_in_a_document_is_named_with_its_place(
    gateway: Gateway, tmp_path: Any
) -> None:
    gateway.refuses = True
    with pytest.raises(CommandFailed, match=r"tick.yaml: cron: must be right \(SCHEDULE_INVALID\)"):
        apply(tmp_path, DOCUMENT)


def test_options_make_a_schedule(gateway: Gateway, capsys: pytest.CaptureFixture[str]) -> None:
    overlap = schedules.Overlap.cancel
    schedules.create("tick", "clock", "hello", every="90s", overlap=overlap, paused=True)
    (request,) = gateway.asked

    assert request.schedule.interval.every.seconds == 90
    assert not request.schedule.HasField("cron")
    assert request.schedule.overlap == Schedule.OVERLAP_CANCEL_RUNNING
    assert capsys.readouterr().out == "schedule tick created, paused\n"


@pytest.mark.parametrize("given", [{}, {"cron": "* * * * *", "every": "1s"}])
def test_one_way_to_say_when_and_not_two(gateway: Gateway, given: dict[str, str]) -> None:
    with pytest.raises(CommandFailed, match="either --cron or --every"):
        schedules.create("tick", "clock", "hello", **given)  # type: ignore[arg-type]

    assert gateway.asked == []


def test_what_became_of_times_is_shown(
    gateway: Gateway, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    apply(tmp_path, DOCUMENT)
    gateway.firings = [
        Firing(cause=Firing.CAUSE_TIME, outcome=Firing.OUTCOME_STARTED, run_id="01run"),
        Firing(
            cause=Firing.CAUSE_BACKFILL,
            outcome=Firing.OUTCOME_FAILED,
            reason="AGENT_NOT_FOUND",
            message="no agent",
        ),
    ]
    schedules.show("tick")
    shown = capsys.readouterr().out

    assert "0 * * * * UTC" in shown
    assert "time\tstarted\t01run" in shown
    assert "backfill\tfailed: AGENT_NOT_FOUND, no agent" in shown


def test_a_list_says_what_comes_next(
    gateway: Gateway, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    apply(tmp_path, DOCUMENT)
    assert gateway.kept is not None
    capsys.readouterr()
    schedules.list_schedules()
    del gateway.kept.next_times[:]
    schedules.list_schedules()
    coming, ended = capsys.readouterr().out.splitlines()

    assert coming.startswith("tick\t0 * * * * UTC\tclock\tnext 20")
    assert ended.endswith("has ended")


def test_a_backfill_is_from_one_time_to_another(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    schedules.backfill("tick", "2026-11-20T10:00+00:00", "2026-11-20T11:00+00:00")
    (request,) = gateway.asked

    assert request.to_time.seconds - request.from_time.seconds == 3600
    assert capsys.readouterr().out == "schedule tick starts runs for 3 times of the past\n"
    with pytest.raises(CommandFailed, match="--to is a time"):
        schedules.backfill("tick", "2026-11-20T10:00", "soon")
