import pytest

from pentad_chassis.config import ConfigInvalid, Settings
from pentad_chassis.credentials import check_exposure


class Config(Settings, env_prefix="PENTAD_TEST_"):
    address: str = "127.0.0.1:1"
    workers: int = 1


def test_every_problem_is_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENTAD_TEST_WORKERS", "many")
    monkeypatch.setenv("PENTAD_TEST_DRAIN_GRACE_S", "soon")

    with pytest.raises(ConfigInvalid) as caught:
        Config.load()

    assert len(caught.value.problems) == 2
    assert any(p.startswith("PENTAD_TEST_WORKERS: ") for p in caught.value.problems)
    assert "many" not in str(caught.value), "a value may be a secret"


@pytest.mark.parametrize("address", ["0.0.0.0:1", "[::]:1", "10.1.2.3:1", "host:1"])
def test_a_port_open_to_the_network_needs_credentials(address: str) -> None:
    with pytest.raises(ConfigInvalid, match="open to the network"):
        check_exposure(Config(address=address))


@pytest.mark.parametrize("address", ["0.0.0.0:1", "[::]:1", "10.1.2.3:1", "host:1"])
def test_so_does_one_that_is_shared(address: str) -> None:
    with pytest.raises(ConfigInvalid, match=r"PENTAD_TEST_SHARED_ADDRESS: .* open to the network"):
        check_exposure(Config(address="unix:/tmp/x", shared_address=address))


def test_an_address_is_shared_beside_one_that_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a second instance on ADDRESS would start silently, and take calls."""
    monkeypatch.setenv("PENTAD_TEST_SHARED_ADDRESS", "127.0.0.1:2")
    with pytest.raises(ConfigInvalid, match="PENTAD_TEST_SHARED_ADDRESS: needs an ADDRESS"):
        Config.load()

    monkeypatch.setenv("PENTAD_TEST_ADDRESS", "unix:/tmp/x")
    assert Config.load().shared_address == "127.0.0.1:2"


@pytest.mark.parametrize("address", ["127.0.0.1:1", "localhost:1", "[::1]:1", "unix:/tmp/x"])
def test_loopback_needs_none(address: str) -> None:
    check_exposure(Config(address=address))
