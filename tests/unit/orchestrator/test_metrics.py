"""What is counted of runs: once each, by whoever ends them, and under few names."""

from dataclasses import replace

from google.protobuf.timestamp_pb2 import Timestamp
from prometheus_client import CollectorRegistry

from pentad.state.v1.agent_pb2 import Agent
from pentad.state.v1.event_pb2 import (
    Event,
    PlannedStep,
    RunCancelled,
    RunCompleted,
    RunCreated,
    RunFailed,
    RunStarted,
    StepCompleted,
)
from pentad.state.v1.run_pb2 import Failure
from pentad_chassis.metrics import Metrics
from pentad_orchestrator import plan
from pentad_orchestrator.metrics import RunMetrics


def at(seconds: int, **kind: object) -> Event:
    return Event(time=Timestamp(seconds=1000 + seconds), run_id="00r", **kind)  # type: ignore[arg-type]


def created(*agents: Agent) -> Event:
    steps = [PlannedStep(name=f"s{i}", agent=agent.name) for i, agent in enumerate(agents)]
    event = RunCreated(tenant="acme", steps=steps, agents=agents)
    if len(agents) > 1:
        event.spec.multi_step.SetInParent()
    return at(0, seq=1, run_created=event)


class Watched:
    """A run that is worked on, and the numbers that come of it."""

    def __init__(self, *journal: Event, tenants: int = 0) -> None:
        metrics = Metrics()
        self.metrics = RunMetrics(metrics, tenants)
        self.journal = list(journal)
        self._registry: CollectorRegistry = metrics.registry

    def record(self, *events: Event) -> None:
        with self.metrics.working(plan.fold(self.journal[:1]), self.journal) as meter:
            meter.recorded(events)

    def value(self, name: str, **labels: str) -> float:
        return self._registry.get_sample_value(name, labels) or 0.0


CLERK = Agent(name="clerk", capabilities=["files", "mail"])
WRITER = Agent(name="writer")


def test_a_simple_run_is_one_request_to_its_agent() -> None:
    watched = Watched(created(CLERK))

    watched.record(at(7, run_completed=RunCompleted()))

    labels = {"agent": "clerk", "outcome": "completed"}
    assert watched.value("agent_requests_total", tenant="", **labels) == 1
    assert watched.value("agent_response_time_seconds_sum", **labels) == 7
    assert watched.value("pentad_runs_ended_total", outcome="completed", reason="") == 1
    assert watched.value("pentad_run_duration_seconds_sum", outcome="completed") == 7


def test_each_step_is_a_request_to_the_agent_that_performed_it() -> None:
    watched = Watched(created(CLERK, WRITER))

    watched.record(
        at(2, step_completed=StepCompleted(step="s0")),
        at(5, step_completed=StepCompleted(step="s1")),
        at(9, run_completed=RunCompleted()),
    )

    for agent, seconds in (("clerk", 2), ("writer", 3)):
        labels = {"agent": agent, "outcome": "completed"}
        assert watched.value("agent_requests_total", tenant="", **labels) == 1
        assert watched.value("agent_response_time_seconds_sum", **labels) == seconds
    assert watched.value("pentad_run_duration_seconds_sum", outcome="completed") == 9


def test_a_step_that_an_earlier_owner_began_is_timed_from_its_begin() -> None:
    first = at(2, step_completed=StepCompleted(step="s0"))
    watched = Watched(created(CLERK, WRITER), first)
    run = replace(plan.fold(watched.journal[:1]), step=1)

    with watched.metrics.working(run, watched.journal) as meter:
        meter.recorded([at(12, run_failed=RunFailed(failure=Failure(reason="TURN_LIMIT_REACHED")))])

    labels = {"agent": "writer", "outcome": "failed"}
    assert watched.value("agent_response_time_seconds_sum", **labels) == 10
    assert watched.value("agent_requests_total", tenant="", **labels) == 1
    assert (
        watched.value("pentad_runs_ended_total", outcome="failed", reason="TURN_LIMIT_REACHED") == 1
    )


def test_a_cancelled_run_is_counted_as_such() -> None:
    watched = Watched(created(CLERK))

    watched.record(at(1, run_cancelled=RunCancelled(reason="enough, says the user")))

    assert watched.value("pentad_runs_ended_total", outcome="cancelled", reason="") == 1


def test_agents_are_active_by_capability_while_they_work() -> None:
    watched = Watched(created(CLERK, WRITER))

    def active(capability: str) -> float:
        return watched.value("active_agents", capability=capability)

    with watched.metrics.working(plan.fold(watched.journal), watched.journal) as meter:
        assert (active("files"), active("mail"), active("none")) == (1, 1, 0)
        meter.recorded([at(1, step_completed=StepCompleted(step="s0"))])
        assert (active("files"), active("mail"), active("none")) == (0, 0, 1)
    assert (active("files"), active("mail"), active("none")) == (0, 0, 0)


def test_takeovers_and_lost_leases_are_counted() -> None:
    watched = Watched(created(CLERK))

    watched.record(at(1, run_started=RunStarted(attempt=1)))
    watched.record(at(1, run_started=RunStarted(attempt=2, owner_lost=True)))
    watched.metrics.lease_lost("TAKEN")

    assert watched.value("pentad_run_takeovers_total") == 1
    assert watched.value("pentad_leases_lost_total", reason="TAKEN") == 1


def test_tenants_are_told_apart_only_up_to_the_number_that_is_set() -> None:
    watched = Watched(created(CLERK), tenants=1)
    ended = at(1, run_completed=RunCompleted())

    watched.record(ended)
    watched.journal[0].run_created.tenant = "other tenant"
    watched.record(ended)

    labels = {"agent": "clerk", "outcome": "completed"}
    assert watched.value("agent_requests_total", tenant="acme", **labels) == 1
    assert watched.value("agent_requests_total", tenant="other", **labels) == 1
    assert watched.value("agent_requests_total", tenant="other tenant", **labels) == 0


def test_agents_have_no_more_names_than_a_label_may_have() -> None:
    watched = Watched(created(CLERK))
    for n in range(60):
        journal = [created(Agent(name=f"agent-{n}"))]
        with watched.metrics.working(plan.fold(journal), journal) as meter:
            meter.recorded([at(1, run_completed=RunCompleted())])

    labels = {"agent": "other", "outcome": "completed"}
    assert watched.value("agent_requests_total", tenant="", **labels) == 10
