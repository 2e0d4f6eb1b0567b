"""The settings of all five services, so that what is wrong is known before anything starts."""

from pentad_allinone.layout import SERVICES
from pentad_chassis.config import ConfigInvalid, Settings
from pentad_executor.config import Config as ExecutorConfig
from pentad_gateway.config import Config as GatewayConfig
from pentad_orchestrator.config import Config as OrchestratorConfig
from pentad_state.config import Config as StateConfig
from pentad_tools.config import Config as ToolsConfig

CONFIGS: dict[str, type[Settings]] = {
    "state": StateConfig,
    "tools": ToolsConfig,
    "executor": ExecutorConfig,
    "orchestrator": OrchestratorConfig,
    "gateway": GatewayConfig,
}


def load_configs() -> dict[str, Settings]:
    """Read every service's settings, or raise ConfigInvalid with the problems of all of them."""
    configs: dict[str, Settings] = {}
    problems: list[str] = []
    for service in SERVICES:
        try:
            configs[service] = CONFIGS[service].load()
        except ConfigInvalid as invalid:
            problems += invalid.problems
    if problems:
        raise ConfigInvalid(tuple(problems))
    return configs
