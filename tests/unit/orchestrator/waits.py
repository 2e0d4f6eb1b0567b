"""Runs that wait, without a shell: agents with native tools, and what such runs are told."""

import json
from typing import Any

from unit.orchestrator.story import Story, asks, simple

from pentad.state.v1.agent_pb2 import Agent, Limits, ToolApproval
from pentad.state.v1.approval_pb2 import Decision
from pentad.state.v1.approval_policy_pb2 import ApprovalPolicy
from pentad.state.v1.event_pb2 import ApprovalDecided, ChildEnded, Event, RunCreated
from pentad.state.v1.message_pb2 import Payload, Usage
from pentad.state.v1.run_pb2 import Failure, RunStatus
from pentad.state.v1.tool_pb2 import Tool
from pentad_orchestrator import children, definitions, plan
from pentad_orchestrator.commands import AwaitTimer, Command, StartChild
from pentad_orchestrator.run import Run

CALL = "0.1.0"
HELPER = Agent(name="helper", description="Helps.")


def created(
    policy: ApprovalPolicy | None = None,
    own: ApprovalPolicy | None = None,
    limits: Limits | None = None,
) -> RunCreated:
    """Return a run whose agent has all native tools; `policy` is its own, `own` the tool's."""
    made = simple(limits)
    agent = made.agents[0]
    agent.tools.extend(["ask_human", "sleep"])
    agent.agents.append("helper")
    if policy is not None:
        agent.approvals.append(ToolApproval(tool="add", policy=policy))
    made.agents.append(HELPER)
    made.tools.extend([Tool(name="add", approval=own), Tool(name="sub")])
    made.tools.extend([definitions.tool("ask_human"), definitions.tool("sleep")])
    made.tools.append(definitions.tool_of(HELPER))
    return made


def calling(
    tool: str, made: RunCreated | None = None, /, also: str = "", **arguments: Any
) -> Story:
    """Return a run whose agent calls a tool in its first turn, perhaps beside another one."""
    story = Story(made or created()).start()
    event = asks(story.run, [tool, *([also] if also else [])])
    wish = event.turn_completed.message.tool_calls[0]
    wish.arguments.CopyFrom(Payload(content_type="application/json", text=json.dumps(arguments)))
    return story.record(event)


def timers(run: Run) -> list[AwaitTimer]:
    return [c for c in plan.decide(run) if isinstance(c, AwaitTimer)]


def starts(run: Run) -> list[StartChild]:
    return [c for c in plan.decide(run) if isinstance(c, StartChild)]


def elapse(story: Story, waited: AwaitTimer) -> Story:
    """Let the time come that the run waits for."""
    return story.record(plan.elapsed(story.run, waited))


def decided(
    key: str = CALL, *, approved: bool = True, comment: str = "", answer: str = ""
) -> Event:
    """Return what a person said."""
    verdict = Decision.VERDICT_APPROVED if approved else Decision.VERDICT_REFUSED
    decision = Decision(verdict=verdict, comment=comment, decided_by="boss")
    if answer:
        decision.answer.CopyFrom(Payload(content_type="application/json", text=answer))
    return Event(approval_decided=ApprovalDecided(key=key, decision=decision))


def begun(command: Command) -> Event:
    """Return the outcome of a command that starts a child."""
    assert isinstance(command, StartChild)
    return children.start(command.key, command.index, f"07-{command.key}-{command.index}")


def ended(index: int = 0, output: str = "", key: str = CALL, **usage: int) -> Event:
    """Return the word of a child's end; without an output it failed."""
    status = RunStatus(state=RunStatus.STATE_COMPLETED, output=output, turns=1)
    if not output:
        failure = Failure(reason="MODEL_UNAVAILABLE", message="away")
        status = RunStatus(state=RunStatus.STATE_FAILED, failure=failure, turns=1)
    status.usage.CopyFrom(Usage(**usage))
    return Event(child_ended=ChildEnded(key=key, index=index, status=status))


def outcome(story: Story, call_id: str = CALL) -> str:
    """Return what a call came to, as the model reads it."""
    for event in story.events:
        completed = event.tool_call_completed
        if completed.call_id == call_id:
            error = completed.error
            return completed.result.text or f"{error.reason}: {error.message}"
    return ""
