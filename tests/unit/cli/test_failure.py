"""Every error of the suite is one line that ends with what to do."""

import pytest

from pentad_chassis.errors import (
    CircuitOpen,
    FieldViolation,
    Internal,
    InvalidArgument,
    NotFound,
    ServiceError,
    Unavailable,
)
from pentad_cli.failure import describe


def with_reason(error: ServiceError, reason: str) -> ServiceError:
    error.reason = reason
    return error


def invalid(*violations: FieldViolation) -> ServiceError:
    error = with_reason(InvalidArgument("2 fields"), "REQUEST_INVALID")
    error.violations = violations
    return error


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            Unavailable("failed to connect to all addresses"),
            (
                "no suite answers at HOST:1 (UNAVAILABLE); "
                "start it with `pentad up`, or set PENTAD_ADDRESS"
            ),
        ),
        (
            with_reason(NotFound("no agent 'x'"), "AGENT_NOT_FOUND"),
            "no agent 'x' (AGENT_NOT_FOUND); see `pentad agent list`",
        ),
        (
            invalid(FieldViolation("spec.input", "must not be empty"), FieldViolation("b", "c")),
            "spec.input: must not be empty; b: c (REQUEST_INVALID)",
        ),
        (Internal("internal\nerror"), "internal error (INTERNAL); the suite's log says more"),
        (CircuitOpen("tools", 2.0), "tools is failing; next attempt in 2.0 s (CIRCUIT_OPEN)"),
    ],
)
def test_an_error_is_one_line(error: ServiceError, line: str) -> None:
    assert describe(error, "HOST:1") == line
