"""Logs: one JSON object a line, or lines for people, from both processes and their libraries alike."""

import json
import logging
import sys
from contextvars import ContextVar
from typing import Any, cast

import orjson
import structlog
from structlog.types import EventDict, Processor, WrappedLogger

log_context: ContextVar[dict[str, Any] | None] = ContextVar("log_context", default=None)
"""Fields that every line logged in this context carries: request_id, and in the worker those of the job."""

Log = structlog.typing.FilteringBoundLogger


def get_log(name: str) -> Log:
    """A logger whose calls take the event and any fields: `log.info("job started", attempt=1)`."""
    return cast(Log, structlog.get_logger(source=name))


def configure_logging(*, level: str, form: str) -> None:
    """Send every log line of this process to standard output.

    Args:
        level: the least severe level that is logged: DEBUG, INFO, WARNING or ERROR.
        form: "json" or "console".
    """
    steps: list[Processor] = [
        _add_context,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]
    if form == "json":
        steps.append(structlog.processors.format_exc_info)
        renderer: Processor = structlog.processors.JSONRenderer(serializer=_dump)
        factory: Any = structlog.BytesLoggerFactory(sys.stdout.buffer)
        foreign_renderer: Processor = structlog.processors.JSONRenderer(serializer=_dump_text)
    else:
        renderer = foreign_renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stdout.isatty(),
            timestamp_key="time",
            exception_formatter=structlog.dev.plain_traceback,  # not local variables, nor secrets
        )
        factory = structlog.WriteLoggerFactory(sys.stdout)
    structlog.configure(
        processors=[*steps, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=factory,
        cache_logger_on_first_use=True,
    )
    _adopt_foreign_loggers(level, steps, foreign_renderer)


def _adopt_foreign_loggers(level: str, steps: list[Processor], renderer: Processor) -> None:
    """Let the lines of uvicorn, arq and other libraries come out in the same form."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*steps, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    logging.captureWarnings(True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = name != "uvicorn.access"  # the API logs its requests itself


def _add_context(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    context = log_context.get()
    return {**context, **event} if context else event


def _dump(event: EventDict, **_: Any) -> bytes:
    try:
        return orjson.dumps(event, default=repr, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:  # text that UTF-8 lacks, from an exception of a handler, say
        return json.dumps(event, default=repr, ensure_ascii=False).encode("utf-8", "replace")


def _dump_text(event: EventDict, **_: Any) -> str:
    return _dump(event).decode()
