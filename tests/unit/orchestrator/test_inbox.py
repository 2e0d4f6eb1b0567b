"""What a run is told: in order, once each, and nothing that this version cannot read."""

from unit.orchestrator.waits import calling, decided, ended

from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.run_service_pb2 import RunSignals
from pentad_orchestrator.inbox import Inbox

ALL = 1_000_000


def told(first: int, *events: Event) -> RunSignals:
    return RunSignals(run_id="07-run", first=first, events=events)


def test_what_comes_again_is_passed_over() -> None:
    inbox, run = Inbox(), calling("ask_human", question="Which?").run
    assert inbox.put(told(4, decided("0.9.0"), decided()))
    events, after = inbox.take(run, ALL)

    assert (events, inbox.heard) == ([decided()], 5)
    assert not after.approvals["0.1.0"].open
    assert not inbox.put(told(4, decided("0.9.0"), decided()))
    assert inbox.put(told(5, decided(), ended(output="x")))
    assert inbox


def test_no_more_is_taken_than_an_append_holds() -> None:
    run = calling("agent_helper", inputs=["a", "b", "c"]).run
    inbox = Inbox()
    inbox.put(told(1, *(ended(index, "x" * 500) for index in range(3))))
    events, after = inbox.take(run, 600)

    assert (len(events), inbox.heard, bool(inbox)) == (2, 2, True)
    assert inbox.take(after, 600)[0] == [ended(2, "x" * 500)]


def test_what_a_newer_version_said_stays_for_one_that_can_read_it() -> None:
    inbox, run = Inbox(), calling("ask_human", question="Which?").run
    inbox.put(told(1, decided(), Event(), ended()))

    assert inbox.take(run, ALL)[0] == [decided()]
    assert inbox.take(run, ALL)[0] == []
    assert inbox.heard == 1
