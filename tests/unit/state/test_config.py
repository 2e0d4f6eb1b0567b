"""Settings have working defaults and bounds."""

from pathlib import Path

import pytest

from pentad_chassis.config import ConfigInvalid
from pentad_state.config import Config


def test_an_empty_environment_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PENTAD_STATE_REDIS_URL", raising=False)

    config = Config.load()

    assert config.redis_url is None
    assert config.durability == "disk"
    assert config.data_dir == Path(".pentad/state")


def test_a_url_does_not_show_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENTAD_STATE_REDIS_URL", "redis://:hunter2@db:6379/1")

    config = Config.load()

    assert "hunter2" not in repr(config)
    assert config.redis_url is not None
    assert config.redis_url.get_secret_value().endswith("hunter2@db:6379/1")


def test_every_problem_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENTAD_STATE_DURABILITY", "hope")
    monkeypatch.setenv("PENTAD_STATE_RUN_RETENTION_S", "60")

    with pytest.raises(ConfigInvalid) as caught:
        Config.load()

    assert len(caught.value.problems) == 2


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("nonsense://:hunter2@db", "must begin with redis://, rediss:// or unix:// for one"),
        ("db:6379", "must begin with redis://"),
        ("redis+ring://:hunter2@db", "must begin with redis://"),
        ("redis://:hunter2@db:port", "Port could not be cast to integer"),
        ("redis+sentinel://:hunter2@a,b", "must end with the name that the sentinels give"),
        ("redis+cluster://:hunter2@a:1,", "names no server"),
    ],
)
def test_a_url_that_leads_to_no_store_is_refused_at_the_start(
    url: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENTAD_STATE_REDIS_URL", url)

    with pytest.raises(ConfigInvalid) as caught:
        Config.load()

    (told,) = caught.value.problems
    assert told.startswith("PENTAD_STATE_REDIS_URL: ")
    assert problem in told
    assert "hunter2" not in told
