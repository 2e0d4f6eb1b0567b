"""What never reaches a log: credentials at all, and what users, models and tools said unless asked.

Values are judged by their name, and text by what it looks like. The words of an exception may quote
anything, so that of an unexpected one only type and place are told.
"""

import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from types import TracebackType

from structlog.typing import EventDict, WrappedLogger

from pentad_chassis.errors import ServiceError

HIDDEN = "[redacted]"

_CREDENTIALS = frozenset(
    {
        "api_key", "apikey", "auth", "authorization", "cookie", "credential", "credentials", "key",
        "passwd", "password", "private_key", "secret", "token", "x_api_key",
    }
)  # fmt: skip

_CONTENT = frozenset(
    {
        "answer", "args", "arguments", "body", "content", "delta", "headers", "history", "input",
        "instructions", "kwargs", "message", "messages", "metadata", "output", "params", "payload",
        "prompt", "query", "request", "response", "result", "results", "text",
    }
)  # fmt: skip

_LOOKS_SECRET = re.compile(
    r"pentad_[A-Za-z0-9_-]{43}"
    r"|\bsk-[A-Za-z0-9_-]{8,}"
    r"|\b(?:AKIA[0-9A-Z]{16}|AIza[\w-]{35}|gh[opsu]_\w{36,}|xox[abprs]-[\w-]{10,})"
    r"|\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*(?:-----END [A-Z ]*PRIVATE KEY-----)?"
)
_NAMED_SECRET = re.compile(
    r"""(?ix) ( \b(?:bearer|basic) \s+
              | \b(?:api[-_]?key|authorization|passwd|password|secret|token)
                ["']? \s* [:=] \s* ["']? (?: (?:bearer|basic) \s+ )?
              | :// [^\s/:@]* : (?=[^\s/@]+@) )
        [^\s"',;@)}\]]+"""
)

_DEPTH_MAX = 5
_CHAIN_MAX = 10


class Redaction:
    """A processor of log entries; the last one before they are written."""

    def __init__(self, *, content: bool = False) -> None:
        self._content = content
        """Whether users', models' and tools' words may be told. Credentials never are."""

    def __call__(self, _: WrappedLogger, __: str, entry: EventDict) -> EventDict:
        failure = entry.pop("exc_info", None)
        told = {name: self._told(name, value, 0) for name, value in entry.items()}
        if error := _exception(failure):
            told["exception"] = scrubbed("\n".join(self._trace(error, 0)))
        return told

    def _told(self, name: str, value: object, depth: int) -> object:
        plain = name.lower().replace("-", "_")
        if plain in _CREDENTIALS or (plain in _CONTENT and not self._content):
            return HIDDEN
        if isinstance(value, str):
            return scrubbed(value)
        if value is None or isinstance(value, int | float):
            return value
        if depth < _DEPTH_MAX and isinstance(value, Mapping):
            return {str(k): self._told(str(k), v, depth + 1) for k, v in value.items()}
        if depth < _DEPTH_MAX and isinstance(value, list | tuple | set | frozenset):
            return [self._told("", v, depth + 1) for v in value]
        # Anything else, such as a message of a contract, would be told by its repr: with all in it.
        return type(value).__qualname__

    def _trace(self, error: BaseException, depth: int) -> Iterator[str]:
        """Tell an exception as Python does, cause first, without its words."""
        before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if before is not None and depth < _CHAIN_MAX:
            yield from self._trace(before, depth + 1)
            yield "which led to"
        yield from _frames(error.__traceback__)
        yield self._title(error)
        if isinstance(error, BaseExceptionGroup) and depth < _CHAIN_MAX:
            for part in error.exceptions[:_CHAIN_MAX]:
                yield from (f"  | {line}" for line in self._trace(part, depth + 1))

    def _title(self, error: BaseException) -> str:
        kind = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
        if self._content:
            return f"{kind}: {error}"
        match error:
            case ServiceError():
                return f"{kind}: {error.reason}"
            case OSError(strerror=str(words)):
                return f"{kind}: {words}"  # the system's words, without the name of any file
        return f"{kind}: {HIDDEN}" if str(error) else kind


def scrubbed(text: str) -> str:
    """Return the text without what looks like a credential."""
    return _NAMED_SECRET.sub(rf"\1{HIDDEN}", _LOOKS_SECRET.sub(HIDDEN, text))


def _exception(failure: object) -> BaseException | None:
    match failure:
        case BaseException():
            return failure
        case (_, BaseException() as error, _):
            return error
        case True:
            return sys.exception()
    return None


def _frames(trace: TracebackType | None) -> Iterator[str]:
    for frame in traceback.extract_tb(trace):
        yield f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}'
