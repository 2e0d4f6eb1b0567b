"""Callers may branch on these reasons; keep them stable.

Those that the state service decides arrive from it ready made and pass through unchanged.
"""

from pentad_chassis.errors import (
    AlreadyExists,
    InvalidArgument,
    NotFound,
    Unavailable,
)


class AgentNotFound(NotFound):
    """The tenant has no agent of that name."""

    reason = "AGENT_NOT_FOUND"

    def __init__(self, agent: str) -> None:
        super().__init__(f"no agent {agent!r}", agent=agent)


class CapabilityNotFound(NotFound):
    """None of the tenant's agents has the capability."""

    reason = "CAPABILITY_NOT_FOUND"

    def __init__(self, capability: str) -> None:
        super().__init__(f"no agent has the capability {capability!r}", capability=capability)


class ToolNotFound(NotFound):
    """An agent lists a tool that the catalogue does not have."""

    reason = "TOOL_NOT_FOUND"

    def __init__(self, tool: str, agent: str) -> None:
        super().__init__(
            f"agent {agent!r} lists the tool {tool!r}, which does not exist", tool=tool, agent=agent
        )


class RunNotFound(NotFound):
    """The tenant has no such run; decided by the state service."""

    reason = "RUN_NOT_FOUND"

    def __init__(self, run_id: str) -> None:
        super().__init__(f"no run {run_id!r}", run_id=run_id)


class RequestIdReused(AlreadyExists):
    """The request id named another request before."""

    reason = "REQUEST_ID_REUSED"

    def __init__(self, request_id: str) -> None:
        super().__init__(
            f"request_id {request_id!r} was used for another request", request_id=request_id
        )


class PayloadTooLarge(InvalidArgument):
    """The run, with all that it pins, is larger than the store takes; decided by it."""

    reason = "PAYLOAD_TOO_LARGE"

    def __init__(self, bytes_max: int) -> None:
        super().__init__(f"larger than {bytes_max} bytes", bytes_max=str(bytes_max))


class StoreUnavailable(Unavailable):
    """The state service cannot reach its store; decided by it."""

    reason = "STORE_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("the store cannot be reached")
