import pytest
from pydantic import SecretStr

from pentad_executor.config import Config


def test_the_providers_own_variables_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-own")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:11434/v1")

    config = Config.load()

    assert config.openai_api_key is not None
    assert config.openai_api_key.get_secret_value() == "sk-own"
    assert config.openai_base_url == "http://127.0.0.1:11434/v1"


def test_our_own_variable_goes_before_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "theirs")
    monkeypatch.setenv("PENTAD_EXECUTOR_ANTHROPIC_API_KEY", "ours")

    config = Config.load()

    assert config.anthropic_api_key is not None
    assert config.anthropic_api_key.get_secret_value() == "ours"


def test_code_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "environment")
    monkeypatch.setenv("PENTAD_EXECUTOR_OPENAI_BASE_URL", "http://elsewhere")

    config = Config(openai_api_key=SecretStr("code"), openai_base_url=None)

    assert config.openai_api_key is not None
    assert config.openai_api_key.get_secret_value() == "code"
    assert config.openai_base_url is None


def test_a_key_is_never_shown() -> None:
    assert "sk-secret" not in repr(Config(openai_api_key=SecretStr("sk-secret")))
