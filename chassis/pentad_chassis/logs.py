"""Log lines: JSON, with the trace, run and tenant they belong to, and without secrets."""

import logging
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from typing import TextIO

import structlog
from opentelemetry import trace
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

from pentad_chassis import calls
from pentad_chassis.redaction import Redaction

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
SILENT = sys.maxsize

_NOBODY: Mapping[str, str] = {}
about: ContextVar[Mapping[str, str]] = ContextVar("about", default=_NOBODY)
"""Run and tenant that the current task works for, where they are known."""


def open_log(
    service: str, level: int, stream: TextIO, *, content: bool = False
) -> FilteringBoundLogger:
    """Return a service's log; `content` lets the words of users, models and tools into it."""
    logger: FilteringBoundLogger = structlog.wrap_logger(
        structlog.WriteLogger(stream),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _add_context,
            Redaction(content=content),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(min(level, 50)),
        cache_logger_on_first_use=True,
    ).bind(service=service)
    return logger


def _add_context(_: WrappedLogger, __: str, entry: EventDict) -> EventDict:
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        entry["trace_id"] = f"{span.trace_id:032x}"
    for name, value in about.get().items():
        entry.setdefault(name, value)
    if tenant := calls.tenant():
        entry.setdefault("tenant", tenant)
    return entry


def hear_libraries(log: FilteringBoundLogger) -> None:
    """Bring what libraries log by Python's own means into a log, for the rest of the process."""
    logging.getLogger().addHandler(_Hearing(log))


class _Hearing(logging.Handler):
    def __init__(self, log: FilteringBoundLogger) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        # A template's first line is the library's own; what follows, or is put in, may be anyone's.
        said = str(record.msg).partition("\n")[0]
        level = min(record.levelno // 10 * 10, logging.ERROR)
        self._log.log(level, said, library=record.name, exc_info=record.exc_info)
