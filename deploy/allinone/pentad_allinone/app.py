"""The suite in one process: the same channels, servers and interceptors as on five hosts."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import TypeVar

from pentad_allinone.configs import load_configs
from pentad_allinone.layout import Layout, Replica
from pentad_chassis.config import Settings
from pentad_chassis.telemetry import Telemetry
from pentad_executor import app as executor
from pentad_executor.config import Config as ExecutorConfig
from pentad_gateway import app as gateway
from pentad_gateway.config import Config as GatewayConfig
from pentad_orchestrator import app as orchestrator
from pentad_orchestrator.config import Config as OrchestratorConfig
from pentad_state import app as state
from pentad_state.config import Config as StateConfig
from pentad_tools import app as tools
from pentad_tools.config import Config as ToolsConfig

C = TypeVar("C", bound=Settings)

OpenTelemetry = Callable[[str, Settings], Telemetry]
"""From a service's name and settings to its telemetry."""


@asynccontextmanager
async def open_suite(layout: Layout, telemetry: OpenTelemetry) -> AsyncIterator[None]:
    """Serve all five while the block runs: callees start first, and callers stop first."""
    load_configs()  # says all problems at once, not only those of the first service with some

    def app(
        service: str,
        config_type: type[C],
        open_app: Callable[[C, Telemetry], AbstractAsyncContextManager[None]],
    ) -> AbstractAsyncContextManager[None]:
        config = config_type.load().model_copy(update=layout.settings(Replica(service)))
        return open_app(config, telemetry(service, config))

    apps = (
        app("state", StateConfig, state.open_app),
        app("tools", ToolsConfig, tools.open_app),
        app("executor", ExecutorConfig, executor.open_app),
        app("orchestrator", OrchestratorConfig, orchestrator.open_app),
        app("gateway", GatewayConfig, gateway.open_app),
    )
    async with AsyncExitStack() as stack:
        for each in apps:
            await stack.enter_async_context(each)
        yield
