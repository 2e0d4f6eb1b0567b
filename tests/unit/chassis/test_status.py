import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pentad_chassis.errors import BY_CODE, FieldViolation, NotFound, ServiceError, Unavailable
from pentad_chassis.status import from_grpc, to_grpc

text = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=50)


def across_a_hop(error: ServiceError) -> ServiceError:
    code, message, trailing = to_grpc(error)
    return from_grpc(
        grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*trailing), message),
        "peer",
    )


@given(
    cls=st.sampled_from(sorted(BY_CODE.values(), key=lambda c: c.code.value)),
    message=text,
    metadata=st.dictionaries(st.from_regex(r"[a-z]{1,10}", fullmatch=True), text, max_size=3),
    retry_after=st.none() | st.integers(0, 10_000).map(lambda ms: ms / 1000),
    retried=st.booleans(),
)
def test_an_error_is_the_same_two_hops_later(
    cls: type[ServiceError],
    message: str,
    metadata: dict[str, str],
    retry_after: float | None,
    retried: bool,
) -> None:
    error = cls(message, **metadata)
    error.reason = "SOME_REASON"
    error.violations = (FieldViolation("spec.input", "must not be empty"),)
    error.retry_after_s = retry_after
    error.retried = retried

    twice = across_a_hop(across_a_hop(error))

    assert type(twice) is cls
    assert (twice.reason, twice.message, twice.metadata) == ("SOME_REASON", message, metadata)
    assert twice.violations == error.violations
    assert twice.retry_after_s == pytest.approx(retry_after)
    assert twice.retried is retried


def test_a_named_subclass_arrives_as_the_class_of_its_code() -> None:
    class RunNotFound(NotFound):
        reason = "RUN_NOT_FOUND"

    arrived = across_a_hop(RunNotFound("no run", run_id="r"))

    assert type(arrived) is NotFound
    assert arrived.reason == "RUN_NOT_FOUND"


def test_a_peer_that_stops_is_unavailable_and_not_our_cancel() -> None:
    error = grpc.aio.AioRpcError(
        grpc.StatusCode.CANCELLED, grpc.aio.Metadata(), grpc.aio.Metadata(), "stopped"
    )

    assert isinstance(from_grpc(error, "state"), Unavailable)
