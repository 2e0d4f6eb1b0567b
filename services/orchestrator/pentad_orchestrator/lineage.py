"""The spans of a run's owners: what they say, and how they hang together."""

from hashlib import blake2b

from pentad.state.v1.run_service_pb2 import Lease
from pentad_chassis import semconv
from pentad_chassis.telemetry import Lineage
from pentad_orchestrator.run import Run


def lineage_of(lease: Lease) -> Lineage:
    """Link an owner's span to that of the owner before: each claim raises the fence by one."""
    before = _span_id(lease.run_id, lease.fence - 1) if lease.fence > 1 else 0
    return Lineage(_span_id(lease.run_id, lease.fence), before)


def _span_id(run_id: str, fence: int) -> int:
    digest = blake2b(f"{run_id}/{fence}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") or 1


def name_of(run: Run) -> str:
    """Return the name of the span of a run's owner."""
    if run.is_graph:
        return f"{semconv.OPERATION_INVOKE_WORKFLOW} {run.created.graph.stored.name}".strip()
    return f"{semconv.OPERATION_INVOKE_AGENT} {run.agent.name}"


def attributes_of(run: Run, lease: Lease) -> dict[str, str | int]:
    """Return what the span of a run's owner says of it."""
    is_begun = run.fence == lease.fence
    provider, _, model = run.agent.model.partition(":")
    attributes: dict[str, str | int] = {
        semconv.GEN_AI_OPERATION_NAME: semconv.OPERATION_INVOKE_AGENT,
        semconv.GEN_AI_PROVIDER_NAME: provider,
        semconv.GEN_AI_REQUEST_MODEL: model,
        semconv.GEN_AI_AGENT_NAME: run.agent.name,
        semconv.GEN_AI_AGENT_VERSION: str(run.agent.revision),
        semconv.GEN_AI_CONVERSATION_ID: run.created.spec.session_id,
        semconv.PENTAD_RUN_ID: run.run_id,
        semconv.PENTAD_RUN_ATTEMPT: run.attempt if is_begun else run.attempt + 1,
        semconv.PENTAD_TENANT: run.created.tenant,
    }
    if run.is_graph:
        attributes[semconv.GEN_AI_OPERATION_NAME] = semconv.OPERATION_INVOKE_WORKFLOW
        attributes[semconv.GEN_AI_WORKFLOW_NAME] = run.created.graph.stored.name
        del attributes[semconv.GEN_AI_AGENT_VERSION]
    return {name: value for name, value in attributes.items() if value != ""}
