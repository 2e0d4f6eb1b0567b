"""Nothing that users, models, tools or keys said reaches a log line."""

import io
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from pentad.state.v1.message_pb2 import Message
from pentad_chassis.errors import NotFound
from pentad_chassis.logs import hear_libraries
from pentad_chassis.redaction import HIDDEN, scrubbed
from pentad_chassis.telemetry import Telemetry, open_telemetry

KEY = "pentad_" + "k" * 43
SAID = "what the user said"


def logged(work: Callable[[Telemetry], object], *, content: bool = False) -> list[dict[str, Any]]:
    stream = io.StringIO()
    telemetry = open_telemetry("state", "debug", stream, log_content=content)
    work(telemetry)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize(
    "name",
    ["authorization", "api_key", "API-Key", "key", "password", "token", "secret", "cookie"],
)
@pytest.mark.parametrize("content", [False, True])
def test_a_credential_is_never_told(name: str, content: bool) -> None:
    (entry,) = logged(lambda t: t.log.info("said", **{name: "hunter2"}), content=content)

    assert entry[name] == HIDDEN


@pytest.mark.parametrize(
    "name", ["input", "output", "arguments", "result", "text", "prompt", "instructions", "messages"]
)
def test_content_is_told_only_when_asked_for(name: str) -> None:
    def work(telemetry: Telemetry) -> None:
        telemetry.log.info("said", **{name: SAID})

    assert logged(work)[0][name] == HIDDEN
    assert logged(work, content=True)[0][name] == SAID


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"the key {KEY} is wrong", KEY),
        ("Bearer abc.DEF-123 was refused", "abc.DEF-123"),
        ("authorization: Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
        ("sk-proj-abcdefgh12345678", "abcdefgh12345678"),
        ("redis://admin:hunter2@store:6379/0", "hunter2"),
        ('{"api_key": "hunter2", "x": 1}', "hunter2"),
        ("?api-key=hunter2&x=1", "hunter2"),
        ("{'password': 'hunter2'}", "hunter2"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "c2lnbmF0dXJl"),
        ("-----BEGIN PRIVATE KEY-----\nTUlJRXZ3\n-----END PRIVATE KEY-----", "TUlJRXZ3"),
        ("token=ghp_" + "a" * 36, "a" * 36),
    ],
)
def test_what_looks_like_a_credential_is_taken_out_of_any_text(text: str, secret: str) -> None:
    assert secret not in scrubbed(text)
    (entry,) = logged(lambda t: t.log.info("said", cause=text), content=True)
    assert secret not in json.dumps(entry)


@pytest.mark.parametrize(
    "text",
    [
        "a run of pentad_orchestrator/driver.py took 20 s",
        "unix:/tmp/pentad-x/state is open to the network",
        "the ledger lost a call; 3 tokens left",
        "http://127.0.0.1:4317/v1",
    ],
)
def test_other_text_stays_as_it_is(text: str) -> None:
    assert scrubbed(text) == text


def test_what_is_nested_is_looked_at_and_what_is_unknown_is_only_named() -> None:
    headers = {"Authorization": f"Bearer {KEY}", "list": [{"password": "hunter2"}, KEY]}
    (entry,) = logged(lambda t: t.log.info("said", call={"of": headers}, who=Message(text=SAID)))

    assert entry["call"] == {
        "of": {"Authorization": HIDDEN, "list": [{"password": HIDDEN}, HIDDEN]}
    }
    assert entry["who"] == "Message"


def fail(words: str) -> None:
    raise KeyError(words)


def fail_twice(words: str) -> None:
    try:
        fail(words)
    except KeyError as cause:
        raise ExceptionGroup(words, [ValueError(words), NotFound(words)]) from cause


def test_an_exception_tells_its_type_and_place_and_not_its_words() -> None:
    def work(telemetry: Telemetry) -> None:
        try:
            fail_twice(SAID)
        except ExceptionGroup:
            telemetry.log.exception("failed by a defect")

    (entry,) = logged(work)

    assert SAID not in json.dumps(entry)
    told = [line for line in entry["exception"].splitlines() if "File" not in line]
    assert told == [
        "KeyError: [redacted]",
        "which led to",
        "ExceptionGroup: [redacted]",
        "  | ValueError: [redacted]",
        "  | pentad_chassis.errors.NotFound: NOT_FOUND",
    ]
    assert "test_redaction.py" in entry["exception"].splitlines()[0]


def test_with_content_an_exception_tells_its_words_but_no_credential() -> None:
    def work(telemetry: Telemetry) -> None:
        try:
            fail(f"{SAID}: {KEY}")
        except KeyError:
            telemetry.log.exception("failed by a defect")

    (entry,) = logged(work, content=True)

    assert entry["exception"].endswith(f"KeyError: '{SAID}: {HIDDEN}'")


def test_the_systems_own_words_are_told_without_the_file() -> None:
    def work(telemetry: Telemetry) -> None:
        try:
            open("/nowhere/secret-name", encoding="utf-8").close()  # noqa: PTH123
        except OSError:
            telemetry.log.exception("not read")

    assert logged(work)[0]["exception"].endswith("FileNotFoundError: No such file or directory")


def test_libraries_are_heard_without_what_they_quote() -> None:
    root = logging.getLogger()
    before = list(root.handlers)

    def work(telemetry: Telemetry) -> None:
        hear_libraries(telemetry.log)
        library = logging.getLogger("some.library")
        library.propagate = True
        library.warning("cannot send %s", SAID)
        library.error("never retrieved\nfuture: <Task exception=%r>" % SAID)  # noqa: UP031

    try:
        first, second = logged(work)
    finally:
        root.handlers = before

    assert (first["event"], first["library"], first["level"]) == (
        "cannot send %s",
        "some.library",
        "warning",
    )
    assert second["event"] == "never retrieved"


def test_a_log_line_says_for_which_run_and_tenant() -> None:
    def work(telemetry: Telemetry) -> None:
        attributes = {"pentad.run.id": "r", "pentad.tenant": "acme"}
        with telemetry.span("execute_tool x", attributes=attributes):
            telemetry.log.info("inside")
            telemetry.log.bind(run_id="other").info("bound")
        telemetry.log.info("outside")

    inside, bound, outside = logged(work)

    assert (inside["run_id"], inside["tenant"]) == ("r", "acme")
    assert bound["run_id"] == "other"
    assert "run_id" not in outside
    assert "tenant" not in outside
