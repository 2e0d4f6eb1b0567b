"""What requests about sessions' policies and about forks must keep to."""

import pytest

from pentad.gateway.v1.run_service_pb2 import CreateRunRequest, ForkRunRequest
from pentad.gateway.v1.session_service_pb2 import ForkSessionRequest
from pentad.state.v1.run_pb2 import RunSpec, SessionPolicy
from pentad_gateway import validation

NOW_S = 1_800_000_000
REJECT = SessionPolicy.SESSION_POLICY_REJECT


def asked(policy: int, session_id: str = "s", *, later: bool = False) -> CreateRunRequest:
    spec = RunSpec(agent="clerk", input="x", session_id=session_id)
    spec.session_policy = SessionPolicy.ValueType(policy)
    if later:
        spec.start_time.seconds = NOW_S + 60
    return CreateRunRequest(spec=spec)


@pytest.mark.parametrize("policy", SessionPolicy.values())
def test_every_policy_may_be_asked_for(policy: int) -> None:
    assert validation.create_run(asked(policy), NOW_S) == []


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (asked(99), "known policy"),
        (asked(REJECT, ""), "no session"),
        (asked(REJECT, later=True), "start_time"),
    ],
    ids=["unknown", "without a session", "for a later start"],
)
def test_a_policy_that_makes_no_sense_is_refused(request_: CreateRunRequest, words: str) -> None:
    (violation,) = validation.create_run(request_, NOW_S)

    assert violation.field == "spec.session_policy"
    assert words in violation.description


def test_a_fork_of_a_run_names_an_event_and_perhaps_a_session() -> None:
    assert validation.fork_run(ForkRunRequest(run_id="r", at_seq=1)) == []
    assert validation.fork_run(ForkRunRequest(run_id="r", at_seq=1, session_id="s")) == []
    wrong = ForkRunRequest(at_seq=-1, session_id="no session!", request_id="pentad:mine")
    fields = [violation.field for violation in validation.fork_run(wrong)]
    assert fields == ["run_id", "at_seq", "request_id", "session_id"]


def test_a_fork_of_a_session_names_a_message_and_a_session() -> None:
    right = ForkSessionRequest(session_id="s", at_seq=1, new_session_id="t")
    assert validation.fork_session(right) == []
    fields = [violation.field for violation in validation.fork_session(ForkSessionRequest())]
    assert fields == ["session_id", "at_seq", "new_session_id"]
