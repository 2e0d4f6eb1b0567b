"""What replicas of a service are told: all the same, but for what they cannot have in common."""

from pathlib import Path

import pytest

from pentad_allinone.configs import CONFIGS
from pentad_allinone.environment import environment_of
from pentad_allinone.layout import SERVICES, Layout, Replica

TWO_EACH = dict.fromkeys(SERVICES, 2)


@pytest.fixture
def layout() -> Layout:
    return Layout(Path("/data"), Path("/run"), "127.0.0.1:50051", None, TWO_EACH)


def told(layout: Layout, service: str, number: int) -> dict[str, str]:
    """Return what a replica is told, by the names of its settings in small."""
    environment = environment_of(Replica(service, number), layout, CONFIGS[service].load())
    prefix = f"PENTAD_{service.upper()}_"
    return {name.removeprefix(prefix).lower(): value for name, value in environment.items()}


@pytest.mark.parametrize("service", SERVICES)
def test_a_replica_has_settings_that_its_service_knows(layout: Layout, service: str) -> None:
    for number in (1, 2):
        assert told(layout, service, number).keys() <= CONFIGS[service].model_fields.keys()


def test_numbers_are_read_at_one_port_after_the_other(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENTAD_EXECUTOR_METRICS_ADDRESS", "127.0.0.1:9100")

    addresses = [told(layout, "executor", number)["metrics_address"] for number in (1, 2)]

    assert addresses == ["127.0.0.1:9100", "127.0.0.1:9101"]
    assert "metrics_address" not in told(layout, "tools", 2)


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:0"])
def test_an_address_without_a_port_is_left_as_it_is(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("PENTAD_EXECUTOR_METRICS_ADDRESS", address)

    assert told(layout, "executor", 2)["metrics_address"] == address


def test_callers_have_time_to_notice_that_a_replica_stops(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert told(layout, "tools", 1)["drain_delay_s"] == "0.5"
    assert "drain_delay_s" not in told(layout, "gateway", 1)

    monkeypatch.setenv("PENTAD_TOOLS_DRAIN_DELAY_S", "3")
    assert "drain_delay_s" not in told(layout, "tools", 1)


def test_one_state_service_runs_the_engine_and_the_others_use_it(layout: Layout) -> None:
    assert "redis_url" not in told(layout, "state", 1)
    assert told(layout, "state", 2)["redis_url"] == "unix:///data/state/engine.sock"


def test_a_store_of_its_own_is_used_by_every_state_service(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENTAD_STATE_REDIS_URL", "redis://127.0.0.1:6379")

    assert "redis_url" not in told(layout, "state", 2)


def test_a_service_of_one_replica_is_told_nothing_more() -> None:
    one_each = dict.fromkeys(SERVICES, 1)
    layout = Layout(Path("/data"), Path("/run"), "127.0.0.1:50051", None, one_each)

    assert "drain_delay_s" not in told(layout, "tools", 1)
    assert told(layout, "gateway", 1)["address"] == "127.0.0.1:50051"
