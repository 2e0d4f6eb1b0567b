"""Where the suite is and with which key: settings, and the client that uses them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import SecretStr

from pentad.gateway.v1.agent_service_pb2_grpc import AgentServiceStub
from pentad.gateway.v1.approval_service_pb2_grpc import ApprovalServiceStub
from pentad.gateway.v1.budget_service_pb2_grpc import BudgetServiceStub
from pentad.gateway.v1.event_service_pb2_grpc import EventServiceStub
from pentad.gateway.v1.run_service_pb2_grpc import RunServiceStub
from pentad.gateway.v1.schedule_service_pb2_grpc import ScheduleServiceStub
from pentad.gateway.v1.session_service_pb2_grpc import SessionServiceStub
from pentad.gateway.v1.system_service_pb2_grpc import SystemServiceStub
from pentad.gateway.v1.tool_service_pb2_grpc import ToolServiceStub
from pentad.gateway.v1.trace_service_pb2_grpc import TraceServiceStub
from pentad.gateway.v1.usage_service_pb2_grpc import UsageServiceStub
from pentad.gateway.v1.webhook_service_pb2_grpc import WebhookServiceStub
from pentad.gateway.v1.workflow_service_pb2_grpc import WorkflowServiceStub
from pentad_chassis.channel import open_channel
from pentad_chassis.config import Settings
from pentad_chassis.telemetry import Telemetry, silent_telemetry
from pentad_cli.failure import CommandFailed

if TYPE_CHECKING:
    from pentad.gateway.v1.agent_service_pb2_grpc import AgentServiceAsyncStub
    from pentad.gateway.v1.approval_service_pb2_grpc import ApprovalServiceAsyncStub
    from pentad.gateway.v1.budget_service_pb2_grpc import BudgetServiceAsyncStub
    from pentad.gateway.v1.event_service_pb2_grpc import EventServiceAsyncStub
    from pentad.gateway.v1.run_service_pb2_grpc import RunServiceAsyncStub
    from pentad.gateway.v1.schedule_service_pb2_grpc import ScheduleServiceAsyncStub
    from pentad.gateway.v1.session_service_pb2_grpc import SessionServiceAsyncStub
    from pentad.gateway.v1.system_service_pb2_grpc import SystemServiceAsyncStub
    from pentad.gateway.v1.tool_service_pb2_grpc import ToolServiceAsyncStub
    from pentad.gateway.v1.trace_service_pb2_grpc import TraceServiceAsyncStub
    from pentad.gateway.v1.usage_service_pb2_grpc import UsageServiceAsyncStub
    from pentad.gateway.v1.webhook_service_pb2_grpc import WebhookServiceAsyncStub
    from pentad.gateway.v1.workflow_service_pb2_grpc import WorkflowServiceAsyncStub

Result = TypeVar("Result")


class Connection(Settings, env_prefix="PENTAD_"):
    """How to reach a suite; `PENTAD_TLS_*` holds for the command as for the services."""

    address: str = "127.0.0.1:50051"
    """Address of the gateway."""

    api_key: SecretStr | None = None
    """The key itself; wins over the file."""

    api_key_file: Path = Path(".pentad/api-key")
    """The file that holds the key, as `pentad up` writes it."""

    link: bool = False
    """Carry calls to the gateway over a link: for those who make many at once."""

    def key(self) -> str:
        """Return the key, or say where one would be expected."""
        if self.api_key is not None:
            return self.api_key.get_secret_value()
        try:
            return self.api_key_file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise CommandFailed(
                f"no API key: cannot read {self.api_key_file} ({error.strerror})",
                "start a suite here with `pentad up`, or set PENTAD_API_KEY_FILE or PENTAD_API_KEY",
            ) from None


@dataclass(frozen=True, slots=True)
class Client:
    """The public API of one suite."""

    runs: "RunServiceAsyncStub"
    agents: "AgentServiceAsyncStub"
    approvals: "ApprovalServiceAsyncStub"
    sessions: "SessionServiceAsyncStub"
    tools: "ToolServiceAsyncStub"
    traces: "TraceServiceAsyncStub"
    system: "SystemServiceAsyncStub"
    webhooks: "WebhookServiceAsyncStub"
    events: "EventServiceAsyncStub"
    budgets: "BudgetServiceAsyncStub"
    usage: "UsageServiceAsyncStub"
    schedules: "ScheduleServiceAsyncStub"
    workflows: "WorkflowServiceAsyncStub"


@asynccontextmanager
async def open_client(
    connection: Connection, telemetry: Telemetry | None = None
) -> AsyncIterator[Client]:
    """Open the public API with the connection's key."""
    metadata = (("authorization", f"Bearer {connection.key()}"),)
    says = telemetry or silent_telemetry("cli")
    async with open_channel(
        "gateway", connection.address, connection, says, metadata=metadata
    ) as channel:
        yield Client(
            RunServiceStub(channel),
            AgentServiceStub(channel),
            ApprovalServiceStub(channel),
            SessionServiceStub(channel),
            ToolServiceStub(channel),
            TraceServiceStub(channel),
            SystemServiceStub(channel),
            WebhookServiceStub(channel),
            EventServiceStub(channel),
            BudgetServiceStub(channel),
            UsageServiceStub(channel),
            ScheduleServiceStub(channel),
            WorkflowServiceStub(channel),
        )


def call(work: Callable[[Client], Awaitable[Result]]) -> Result:
    """Run `work` with a client of the suite that the environment names."""

    async def connected() -> Result:
        async with open_client(Connection.load()) as client:
            return await work(client)

    return asyncio.run(connected())
