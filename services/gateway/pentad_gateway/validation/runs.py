"""Requests about runs."""

from collections.abc import Sequence

from pentad.gateway.v1.run_service_pb2 import (
    CancelRunRequest,
    CreateRunRequest,
    ExecuteRunRequest,
    ForkRunRequest,
    GetRunRequest,
    ListRunsRequest,
    PauseRunRequest,
    ResumeRunRequest,
    TailRunRequest,
    WaitRunRequest,
)
from pentad.gateway.v1.trace_service_pb2 import GetRunTraceRequest
from pentad.state.v1.run_pb2 import RunSpec, RunStatus, SessionPolicy, Settlement, Step
from pentad_chassis.errors import FieldViolation
from pentad_gateway.validation.agents import check_limits
from pentad_gateway.validation.bounds import (
    AGENT_NAME,
    CAPABILITY,
    CURSOR_BYTES,
    KIB,
    SEQ_MAX,
    SESSION_ID,
    STEP_NAME,
    WEBHOOK_NAME,
    WORKFLOW_NAME,
    Bounds,
)
from pentad_gateway.validation.budgets import check_budget
from pentad_gateway.validation.workflows import check_workflow

SPEC_BYTES = 1024 * KIB
INPUT_BYTES = 256 * KIB
REASON_BYTES = 1 * KIB
STEPS = 100
CALLBACKS = 4
WAIT_S_MAX = 600
PRIORITY = 10
DELAY_DAYS = 365
CALL_ID_BYTES = 128
SETTLEMENTS = 100
SETTLEMENTS_BYTES = 320 * KIB
ATTEMPTS = 2**31 - 1
"""In all: each stands twice in one append, as what was said and as the call's outcome."""

_NO_PERFORMER = "must be set, or `capability`"


def create_run(request: CreateRunRequest | ExecuteRunRequest, now_s: float) -> list[FieldViolation]:
    """Return what is wrong with the request."""
    bounds = Bounds()
    if request.HasField("spec"):
        check_spec(bounds, request.spec)
        _start(bounds, request.spec, now_s)
    else:
        bounds.broken("spec", "must be set")
    bounds.request_id(request.request_id)
    return bounds.violations


def tail_run(request: TailRunRequest) -> list[FieldViolation]:
    """Return what is wrong with the request."""
    bounds = Bounds()
    bounds.run_id(request.run_id)
    bounds.text("after", request.after, CURSOR_BYTES)
    return bounds.violations


def wait_run(request: WaitRunRequest) -> list[FieldViolation]:
    """Return what is wrong with the request."""
    bounds = Bounds()
    bounds.run_id(request.run_id)
    bounds.duration("timeout", request.timeout, WAIT_S_MAX)
    return bounds.violations


def get_run(request: GetRunRequest | GetRunTraceRequest) -> list[FieldViolation]:
    """Return what is wrong with the request."""
    bounds = Bounds()
    bounds.run_id(request.run_id)
    return bounds.violations


def list_runs(request: ListRunsRequest) -> list[FieldViolation]:
    """Return what is wrong with the request."""
    bounds = Bounds()
    if request.state not in RunStatus.State.values():
        bounds.broken("state", "must be a known state")
    if request.session_id:
        bounds.name("session_id", request.session_id, SESSION_ID)
    bounds.page(request)
    return bounds.violations


def fork_run(request: ForkRunRequest) -> list[FieldViolation]:
    """Return what is wrong with the request, whatever the run is that it names."""
    bounds = Bounds()
    bounds.run_id(request.run_id)
    bounds.within("at_seq", request.at_seq, SEQ_MAX, 1)
    bounds.request_id(request.request_id)
    if request.session_id:
        bounds.name("session_id", request.session_id, SESSION_ID)
    return bounds.violations


def cancel_run(request: CancelRunRequest | PauseRunRequest) -> list[FieldViolation]:
    """Return what is wrong with the request."""
    bounds = Bounds()
    bounds.run_id(request.run_id)
    bounds.text("reason", request.reason, REASON_BYTES)
    return bounds.violations


def resume_run(request: ResumeRunRequest) -> list[FieldViolation]:
    """Return what is wrong with the request, whatever its run needs."""
    bounds = Bounds()
    bounds.run_id(request.run_id)
    bounds.request_id(request.request_id)
    bounds.text("reason", request.reason, REASON_BYTES)
    check_settlements(bounds, request.settlements)
    return bounds.violations


def check_settlements(bounds: Bounds, settlements: Sequence[Settlement]) -> None:
    """Check what was found out about calls, whatever is asked about them."""
    bounds.count("settlements", len(settlements), SETTLEMENTS)
    if sum(settlement.ByteSize() for settlement in settlements) > SETTLEMENTS_BYTES:
        bounds.broken("settlements", f"must be at most {SETTLEMENTS_BYTES // KIB} KiB in all")
    looked_at = settlements[:SETTLEMENTS]
    bounds.unique("settlements[{}].call_id", [each.call_id for each in looked_at])
    for i, settlement in enumerate(looked_at):
        _settlement(bounds, f"settlements[{i}]", settlement)


def _settlement(bounds: Bounds, at: str, settlement: Settlement) -> None:
    bounds.filled(f"{at}.call_id", settlement.call_id, CALL_ID_BYTES)
    bounds.within(f"{at}.attempt", settlement.attempt, ATTEMPTS)
    match settlement.WhichOneof("finding"):
        case "result":
            if settlement.result.WhichOneof("body") is None:
                bounds.broken(f"{at}.result", "must have a body")
            bounds.whole(f"{at}.result", settlement.result, INPUT_BYTES)
        case "failure":
            bounds.filled(f"{at}.failure", settlement.failure, REASON_BYTES)
        case "not_done":
            if not settlement.not_done:
                bounds.broken(f"{at}.not_done", "must be true; else leave it out")
        case _:
            bounds.broken(at, "must hold `result`, `not_done` or `failure`")


def _start(bounds: Bounds, spec: RunSpec, now_s: float) -> None:
    bounds.within("spec.priority", spec.priority, PRIORITY, -PRIORITY)
    if spec.HasField("start_time"):
        latest_s = now_s + DELAY_DAYS * 24 * 3600
        described = f"at most {DELAY_DAYS} days ahead"
        bounds.time("spec.start_time", spec.start_time, latest_s, described)


def check_spec(bounds: Bounds, spec: RunSpec) -> None:
    """Ask that a spec be one that a run can have; its fields are named from `spec` on."""
    if not bounds.whole("spec", spec, SPEC_BYTES):
        return
    workflow = spec.WhichOneof("workflow")
    if workflow in {"graph", "workflow_name"}:
        _workflow(bounds, spec)
        bounds.text("spec.input", spec.input, INPUT_BYTES)
    else:
        _performer(bounds, "spec", spec)
        bounds.filled("spec.input", spec.input, INPUT_BYTES)
    if spec.session_id:
        bounds.name("spec.session_id", spec.session_id, SESSION_ID)
    _policy(bounds, spec)
    check_limits(bounds, "spec.limits", spec.limits)
    if spec.HasField("budget"):
        check_budget(bounds, "spec.budget", spec.budget)
    bounds.count("spec.callbacks", len(spec.callbacks), CALLBACKS)
    bounds.unique("spec.callbacks[{}]", spec.callbacks[:CALLBACKS])
    for i, name in enumerate(spec.callbacks[:CALLBACKS]):
        bounds.name(f"spec.callbacks[{i}]", name, WEBHOOK_NAME)
    named = spec.WhichOneof("performer") is not None
    if workflow == "multi_step":
        _steps(bounds, spec, named=named)
    elif not named and workflow in {None, "simple"}:
        bounds.broken("spec.agent", _NO_PERFORMER)


def _policy(bounds: Bounds, spec: RunSpec) -> None:
    """Nobody knows today whether a session will be busy when a run starts later."""
    policy = spec.session_policy
    if policy not in SessionPolicy.values():
        bounds.broken("spec.session_policy", "must be a known policy")
    elif policy and not spec.session_id:
        bounds.broken("spec.session_policy", "must be unset: the run has no session")
    elif policy == SessionPolicy.SESSION_POLICY_REJECT and spec.HasField("start_time"):
        bounds.broken("spec.session_policy", "must not reject for a run with a `start_time`")


def _workflow(bounds: Bounds, spec: RunSpec) -> None:
    if performer := spec.WhichOneof("performer"):
        bounds.broken(f"spec.{performer}", "must be unset: nodes name who performs them")
    if spec.HasField("graph"):
        check_workflow(bounds, "spec.graph", spec.graph)
    else:
        bounds.name("spec.workflow_name", spec.workflow_name, WORKFLOW_NAME)


def _steps(bounds: Bounds, spec: RunSpec, *, named: bool) -> None:
    bounds.count("spec.multi_step.steps", len(spec.multi_step.steps), STEPS, least=1)
    steps = spec.multi_step.steps[:STEPS]  # more than are allowed would only cost time
    bounds.unique("spec.multi_step.steps[{}].name", [step.name for step in steps])
    for i, step in enumerate(steps):
        at = f"spec.multi_step.steps[{i}]"
        bounds.name(f"{at}.name", step.name, STEP_NAME)
        _performer(bounds, at, step)
        if not named and step.WhichOneof("performer") is None:
            bounds.broken(f"{at}.agent", f"{_NO_PERFORMER}, as `spec` names neither")
        bounds.filled(f"{at}.input", step.input, INPUT_BYTES)


def _performer(bounds: Bounds, at: str, value: RunSpec | Step) -> None:
    match value.WhichOneof("performer"):
        case "agent":
            bounds.name(f"{at}.agent", value.agent, AGENT_NAME)
        case "capability":
            bounds.name(f"{at}.capability", value.capability, CAPABILITY)
