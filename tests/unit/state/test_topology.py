"""A URL says which servers make up the store, and how they are spoken to."""

import pytest

from pentad_chassis.telemetry import silent_telemetry
from pentad_state.cluster import Cluster
from pentad_state.config import Config
from pentad_state.connection import Address, Endpoint, Server, to_server
from pentad_state.metrics import StateMetrics
from pentad_state.pipe import Pipe
from pentad_state.sentinel import Sentinels
from pentad_state.topology import store_at

TELEMETRY = silent_telemetry("state")
METRICS = StateMetrics(TELEMETRY.metrics)


def opened(url: str) -> tuple[Pipe | Cluster, Endpoint]:
    return store_at(url, lambda e: Pipe(e, 1, TELEMETRY, METRICS), TELEMETRY)


@pytest.mark.parametrize("url", ["redis://h", "rediss://u:p@h:1/0", "unix:///tmp/s"])
def test_a_plain_url_is_one_server(url: str) -> None:
    store, endpoint = opened(url)

    assert isinstance(store, Pipe)
    assert isinstance(endpoint, Address)


def test_sentinels_lead_to_one_server() -> None:
    store, endpoint = opened("redis+sentinel://u:p@a:1,b,[::1]:3/main?sentinel_password=s%20")

    assert isinstance(store, Pipe)
    assert isinstance(endpoint, Sentinels)


def test_a_cluster_is_heard_at_any_of_its_servers() -> None:
    store, endpoint = opened("rediss+cluster://u:p@a:1,b:2?ssl_cert_reqs=none")

    assert isinstance(store, Cluster)
    assert endpoint is store


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("redis+sentinel://a:1", "name that the sentinels give"),
        ("redis+ring://a:1", "must begin with"),
        ("redis+cluster://", "names no server"),
        ("http://a:1", "must begin with"),
    ],
)
def test_a_url_that_is_none_is_refused(url: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        opened(url)


@pytest.mark.parametrize(
    ("text", "server", "shown"),
    [
        ("a:1", Server("a", 1), "a:1"),
        ("a", Server("a", 9), "a:9"),
        ("[::1]:3", Server("::1", 3), "[::1]:3"),
    ],
)
def test_servers_have_a_host_and_a_port(text: str, server: Server, shown: str) -> None:
    assert to_server(text, 9) == server
    assert str(server) == shown


def test_the_embedded_engine_has_no_replicas() -> None:
    with pytest.raises(ValueError, match="embedded engine has no replicas"):
        Config(durability="replicated")
