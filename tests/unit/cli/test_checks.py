"""The doctor's eye for what is unsafe."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from pentad_cli.checks import Verdict, check_key, check_settings, is_local
from pentad_cli.connection import Connection


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("127.0.0.1:50051", True),
        ("[::1]:50051", True),
        ("localhost:50051", True),
        ("unix:/tmp/x", True),
        ("0.0.0.0:50051", False),
        ("[::]:50051", False),
        ("10.0.0.7:50051", False),
        ("example.com:443", False),
    ],
)
def test_loopback_is_told_from_the_network(address: str, *, local: bool) -> None:
    assert is_local(address) is local


def verdicts(connection: Connection) -> list[Verdict]:
    return [check.verdict for check in check_key(connection)]


def test_a_key_that_others_can_read_is_a_problem(tmp_path: Path) -> None:
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    file = folder / "api-key"
    file.write_text("secret")
    file.chmod(0o600)
    assert verdicts(Connection(api_key_file=file)) == [Verdict.OK, Verdict.OK]

    file.chmod(0o644)
    assert verdicts(Connection(api_key_file=file))[0] is Verdict.PROBLEM


def test_a_missing_key_is_a_problem_and_one_from_the_environment_is_not(tmp_path: Path) -> None:
    assert verdicts(Connection(api_key_file=tmp_path / "absent")) == [Verdict.PROBLEM]
    assert verdicts(Connection(api_key=SecretStr("k"))) == [Verdict.OK]


def test_no_check_ever_shows_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    monkeypatch.setenv("PENTAD_STATE_REDIS_URL", "redis://:hush@host/0")

    details = " ".join(check.detail for check in check_settings())

    assert "sk-very-secret" not in details
    assert "hush" not in details
    assert "not encrypted" in details


def test_settings_that_cannot_be_used_are_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENTAD_ORCHESTRATOR_LEASE_S", "soon")

    problems = [c for c in check_settings() if c.verdict is Verdict.PROBLEM]

    assert [c.what for c in problems] == ["settings of orchestrator"]
    assert "PENTAD_ORCHESTRATOR_LEASE_S" in problems[0].detail
