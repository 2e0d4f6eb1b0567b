"""What the environment of a replica's process says beside what this one's does."""

from collections.abc import Mapping
from pathlib import Path

from pentad_allinone.layout import Layout, Replica
from pentad_chassis.config import Settings

_NOTICE_S = 0.5
"""For callers to notice that a replica stops and to turn to the others: no call of theirs fails."""


def environment_of(replica: Replica, layout: Layout, config: Settings) -> Mapping[str, str]:
    """Return the variables of a replica, where `config` is what all of its service read."""
    settings = layout.settings(replica)
    if layout.counts[replica.service] > 1:
        settings |= _one_of_several(replica, layout, config)
    prefix = f"PENTAD_{replica.service.upper()}_"
    return {prefix + name.upper(): str(value) for name, value in settings.items()}


def _one_of_several(replica: Replica, layout: Layout, config: Settings) -> Mapping[str, str | Path]:
    """Return the settings that replicas cannot have in common, or would not have if alone."""
    settings: dict[str, str | Path] = {}
    if config.metrics_address:
        settings["metrics_address"] = _further(config.metrics_address, replica.number - 1)
    # Clients of gateways know one address, behind which there is no other way to turn to.
    if replica.service != "gateway" and "drain_delay_s" not in config.model_fields_set:
        settings["drain_delay_s"] = str(_NOTICE_S)
    # Only one service can run the embedded engine, and the others can all use it.
    joins = replica.service == "state" and replica.number > 1
    if joins and "redis_url" not in config.model_fields_set:
        settings["redis_url"] = layout.engine_url
    return settings


def _further(address: str, ports: int) -> str:
    """Return the address so many ports further; one that has no port is left to its service."""
    host, _, port = address.rpartition(":")
    return f"{host}:{int(port) + ports}" if port.isdigit() and int(port) else address
