"""Which servers make up the store: one, one behind sentinels, or a cluster."""

from collections.abc import Callable

from pentad_chassis.telemetry import Telemetry
from pentad_state.cluster import Cluster
from pentad_state.connection import Address, Endpoint
from pentad_state.pipe import Pipe
from pentad_state.sentinel import Sentinels
from pentad_state.url import StoreUrl


def store_at(
    url: str, open_pipe: Callable[[Endpoint], Pipe], telemetry: Telemetry
) -> tuple[Pipe | Cluster, Endpoint]:
    """Return the store at a URL, and where it is heard; ValueError when the URL is none."""
    parts = StoreUrl.parse(url)
    match parts.kind:
        case "sentinel":
            named = [parts.at_sentinel(server) for server in parts.servers]
            sentinels = Sentinels(named, parts.name, parts.at)
            return open_pipe(sentinels), sentinels
        case "cluster":
            cluster = Cluster(parts.servers, parts.at, open_pipe, telemetry)
            return cluster, cluster
    address = Address(url)
    return open_pipe(address), address
