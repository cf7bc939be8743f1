"""Logs: one JSON object a line, or lines for people, from both processes and their libraries alike."""

import json
import logging
import sys
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, cast

import orjson
import structlog
from structlog.types import EventDict, Processor, WrappedLogger

log_context: ContextVar[dict[str, Any] | None] = ContextVar("log_context", default=None)
"""Fields that every line logged in this context carries: request_id, and in the worker those of the job."""

METHODS = ("debug", "info", "warning", "error", "critical", "exception")
LEVELS = {"exception": "error"}  # where a method is not named for its level
Log = structlog.typing.FilteringBoundLogger


def get_log(name: str) -> Log:
    """A logger whose calls take the event and any fields: `log.info("job started", attempt=1)`."""
    return cast(Log, _Log(name))


class _Log:
    """A logger that looks up each of its methods once: structlog's own does at every call."""

    def __init__(self, name: str) -> None:
        self._logger = structlog.get_logger(source=name)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._logger.bind(), name)
        if structlog.is_configured():
            setattr(self, name, method)
        return method


def configure_logging(*, level: str, form: str) -> None:
    """Send every log line of this process to standard output.

    Args:
        level: the least severe level that is logged: DEBUG, INFO, WARNING or ERROR.
        form: "json" or "console".
    """
    threshold = logging.getLevelNamesMapping()[level]
    if form == "json":
        foreign: list[Processor] = [_render_text]
        structlog.configure(
            wrapper_class=_json_logger(threshold),
            logger_factory=structlog.BytesLoggerFactory(sys.stdout.buffer),
            cache_logger_on_first_use=True,
        )
    else:
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stdout.isatty(),
            timestamp_key="time",
            exception_formatter=structlog.dev.plain_traceback,  # not local variables, nor secrets
        )
        foreign = [_write_time, renderer]
        structlog.configure(
            processors=[_complete, *foreign],
            wrapper_class=structlog.make_filtering_bound_logger(threshold),
            logger_factory=structlog.WriteLoggerFactory(sys.stdout),
            cache_logger_on_first_use=True,
        )
    _adopt_foreign_loggers(level, foreign)


def _adopt_foreign_loggers(level: str, renderers: list[Processor]) -> None:
    """Let the lines of uvicorn, arq and other libraries come out in the same form."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_complete, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    logging.captureWarnings(True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = name != "uvicorn.access"  # the API logs its requests itself


def _json_logger(threshold: int) -> type[structlog.BoundLoggerBase]:
    """A logger class that renders in one go: structlog's chain of processors takes three times as long."""

    def method(name: str) -> Callable[..., None]:
        if logging.getLevelNamesMapping()[LEVELS.get(name, name).upper()] < threshold:
            return lambda self, event, **fields: None
        if name == "exception":
            return lambda self, event, **fields: write(self, name, event, {"exc_info": True, **fields})
        return lambda self, event, **fields: write(self, name, event, fields)

    def write(self: Any, level: str, event: str, fields: EventDict) -> None:
        line = _complete(self._logger, level, {"event": event, **self._context, **fields})
        self._logger.msg(_render(self._logger, level, line))

    methods = {name: method(name) for name in METHODS}
    return type("JsonLogger", (structlog.BoundLoggerBase,), methods)


def _complete(_: WrappedLogger, level: str, event: EventDict) -> EventDict:
    """Add what every line has: the context's fields, the level, the time."""
    context = log_context.get() or {}
    return {**context, **event, "level": LEVELS.get(level, level), "time": datetime.now(UTC)}


def _write_time(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return {**event, "time": event["time"].isoformat().replace("+00:00", "Z")}


def _render(logger: WrappedLogger, level: str, event: EventDict) -> bytes:
    """The line as JSON; text that UTF-8 lacks, from an exception of a handler, say, is replaced."""
    if "exc_info" in event:
        event = structlog.processors.format_exc_info(logger, level, event)
    try:
        return orjson.dumps(event, default=repr, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_UTC_Z)
    except TypeError:
        return json.dumps(event, default=repr, ensure_ascii=False).encode("utf-8", "replace")


def _render_text(logger: WrappedLogger, level: str, event: EventDict) -> str:
    return _render(logger, level, event).decode()
