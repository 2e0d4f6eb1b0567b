"""What went wrong with a provider, in the executor's own words.

OpenAI, Anthropic and those who copy them send errors of one form, as a response's body or in an
open stream, and name them by a code or a type. What else they write stays behind.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp

from pentad_chassis.errors import ServiceError
from pentad_executor.errors import (
    ModelNotConfigured,
    ModelRateLimited,
    ModelRefused,
    ModelUnavailable,
    ModelUnknown,
)

_RETRY_AFTER_S_MAX = 3600.0
_TRANSIENT = {408, 409, 425}
_UNAUTHORISED = 401
_NO_CREDIT = 402
_FORBIDDEN = 403
_NOT_FOUND = 404
_RATE_LIMITED = 429
_CLIENT_ERRORS = 400
_SERVER_ERRORS = 500
_UNCERTAIN = {408, 499}
_OVERLOADED = 529

_QUOTA = {
    "insufficient_quota",
    "billing_hard_limit_reached",
    "credit_balance_exhausted",
    "organization_spend_limit_exceeded",
    "project_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
    "billing_error",
}
"""OpenAI sends these with the status of a rate limit, but waiting does not help."""

_STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "too_many_requests": 429,
    "api_error": 500,
    "server_error": 500,
    "service_unavailable": 503,
    "service_unavailable_error": 503,
    "timeout_error": 504,
}
"""Inside a stream, whose status was good, the name says what the status would have been."""

_STATUS_CODES = frozenset(map(str, range(400, 600)))
_TOO_LONG = ("maximum context length", "reduce the length of the messages", "prompt is too long")
_NO_BALANCE = "credit balance is too low"
"""Some say these only in prose."""


@dataclass(eq=False)
class Fault(Exception):
    """A provider's own report of an error."""

    status: int
    """Of the response; 0 in an open stream."""
    code: str = ""
    kind: str = ""
    prose: str = ""
    """In lower case; to be looked at, never to be passed on."""
    retry_after_s: float | None = None

    def named(self, *names: str) -> bool:
        """Whether it has one of the names."""
        return self.code in names or self.kind in names


def fault_of(error: object, status: int = 0, headers: Mapping[str, str] | None = None) -> Fault:
    """Return what an error object says, whatever its form."""
    fields: dict[str, Any] = error if isinstance(error, dict) else {"message": error}
    code, kind, prose = (str(fields.get(key) or "") for key in ("code", "type", "message"))
    return Fault(status, code, kind, prose.lower(), _retry_after_s(headers or {}))


def to_service_error(fault: Fault, model: str, variable: str) -> ServiceError:
    """Return the error that tells a caller of `model`, whose key is in `variable`, what to do."""
    status = _status(fault)
    if detail := _refusal(fault, status):
        return ModelRefused(model, detail, **_metadata(fault, status))
    if status == _NOT_FOUND or fault.named("model_not_found"):
        return ModelUnknown(model, "its provider does not have it")
    if status == _UNAUTHORISED:
        return ModelNotConfigured(model, variable, f"the provider rejects the key in {variable}")
    if status == _RATE_LIMITED:
        return ModelRateLimited(model, fault.retry_after_s)
    if detail := _outage(status):
        return ModelUnavailable(model, detail, **_metadata(fault, status))
    return ModelRefused(model, "the provider rejects the request", **_metadata(fault, status))


def is_refusal(status: int) -> bool:
    """Whether a response of this status means that no model was begun with the request.

    One that timed out may have been, and so may one that the provider failed with, unless it says
    that it has too much to do.
    """
    refused = _CLIENT_ERRORS <= status < _SERVER_ERRORS and status not in _UNCERTAIN
    return refused or status == _OVERLOADED


def connection_lost(error: aiohttp.ClientError, model: str) -> ServiceError:
    """Return the error of a connection that failed."""
    if isinstance(error, TimeoutError):
        return ModelUnavailable(model, "the connection timed out")
    phase = "connect" if isinstance(error, aiohttp.ClientConnectorError) else "closed"
    return ModelUnavailable(model, f"the connection failed ({phase})")


def _status(fault: Fault) -> int:
    """The status of the response, or the one that the error's names stand for."""
    if "overloaded" in fault.code or "overloaded" in fault.kind:
        return max(fault.status, _OVERLOADED)
    named = _STATUSES.get(fault.code) or _STATUSES.get(fault.kind) or 0
    # Gateways send the status itself as the code.
    return fault.status or named or (int(fault.code) if fault.code in _STATUS_CODES else 0)


def _refusal(fault: Fault, status: int) -> str:
    """Say why the request, as it is, will never be served; nothing if that is not known."""
    if status == _NO_CREDIT or fault.named(*_QUOTA) or _NO_BALANCE in fault.prose:
        return "the account's quota or credit is used up"
    if fault.named("context_length_exceeded") or any(said in fault.prose for said in _TOO_LONG):
        return "the prompt is longer than its context"
    return "the key may not use it" if status == _FORBIDDEN else ""


def _outage(status: int) -> str:
    """Say what makes this an outage that may pass; nothing if it is none."""
    if not status:
        return "the provider reported a failure while it answered"
    if status in _TRANSIENT or status >= _SERVER_ERRORS:
        return f"the provider failed with status {status}"
    return ""


def _metadata(fault: Fault, status: int) -> dict[str, str]:
    """The provider's own name, a word of its documentation, helps to look the error up."""
    name = (fault.code or fault.kind)[:64]
    found = {"status": str(status) if status else "", "provider_code": name}
    return {key: value for key, value in found.items() if value}


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, which the header gives as a number or as a date."""
    said = headers.get("retry-after", "")
    try:
        seconds = float(said)
    except ValueError:
        try:
            date = parsedate_to_datetime(said)
        except ValueError:
            return None
        seconds = (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return None if math.isnan(seconds) else min(max(seconds, 0.0), _RETRY_AFTER_S_MAX)
