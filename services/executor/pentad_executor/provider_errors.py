"""What went wrong with a provider, in the executor's own words.

pydantic-ai sorts the errors of all providers, in responses and in open streams, into a few
classes; this module gives each class its reason. What the provider wrote stays behind.
"""

from pydantic_ai.exceptions import (
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelContextWindowExceededError,
    ModelHTTPError,
    ModelNotFoundError,
    ModelQuotaExceededError,
    ModelRateLimitError,
    ModelServerError,
    ModelTimeoutError,
    ModelUnavailableError,
)

from pentad_chassis.errors import ServiceError
from pentad_executor.errors import (
    ModelNotConfigured,
    ModelOutputInvalid,
    ModelRateLimited,
    ModelRefused,
    ModelUnavailable,
    ModelUnknown,
)

_RETRY_AFTER_S_MAX = 3600.0
_TRANSIENT = {408, 409, 425}
_UNAUTHORISED = 401
_SERVER_ERRORS = 500
_REFUSALS = (
    (ModelAuthenticationError, "the key may not use it"),
    (ModelQuotaExceededError, "the account's quota or credit is used up"),
    (ModelContextWindowExceededError, "the prompt is longer than its context"),
    (ModelHTTPError, "the provider rejects the request"),
)


def to_service_error(error: ModelAPIError, model: str, variable: str) -> ServiceError:
    """Return the error that tells a caller of `model`, whose key is in `variable`, what to do."""
    status = error.status_code if isinstance(error, ModelHTTPError) else 0
    if isinstance(error, ModelRateLimitError):
        return ModelRateLimited(model, _bounded(error.retry_after))
    if isinstance(error, ModelNotFoundError):
        return ModelUnknown(model, "its provider does not have it")
    if isinstance(error, ModelAuthenticationError) and status in {0, _UNAUTHORISED}:
        return ModelNotConfigured(model, variable, f"the provider rejects the key in {variable}")
    if detail := _outage(error, status):
        return ModelUnavailable(model, detail, **_metadata(error, status))
    if detail := next((said for kind, said in _REFUSALS if isinstance(error, kind)), ""):
        return ModelRefused(model, detail, **_metadata(error, status))
    return ModelOutputInvalid(model, "the answer breaks the provider's own protocol")


def _bounded(retry_after_s: float | None) -> float | None:
    return None if retry_after_s is None else min(retry_after_s, _RETRY_AFTER_S_MAX)


def _outage(error: ModelAPIError, status: int) -> str:
    """Say what makes this an outage that may pass; nothing if it is none."""
    if isinstance(error, ModelTimeoutError):
        return "the connection timed out"
    if isinstance(error, ModelConnectionError):
        return f"the connection failed ({error.phase or 'closed'})"
    if status in _TRANSIENT or status >= _SERVER_ERRORS:
        return f"the provider failed with status {status}"
    if error.in_stream or isinstance(error, ModelServerError | ModelUnavailableError):
        return "the provider reported a failure while it answered"
    return ""


def _metadata(error: ModelAPIError, status: int) -> dict[str, str]:
    """The provider's own code, a word of its documentation, helps to look the error up."""
    code = error.provider_error_code or error.provider_error_type or ""
    found = {"status": str(status) if status else "", "provider_code": code[:64]}
    return {key: value for key, value in found.items() if value}
