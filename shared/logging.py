"""Logs of both processes and their libraries: one JSON object a line, or lines for people."""

import json
import logging
import sys
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from datetime import UTC, datetime
from io import StringIO
from typing import Any, TextIO, cast

import orjson
import structlog
from structlog.types import EventDict, ExcInfo, Processor, WrappedLogger

from shared.log_stream import LogStream, descriptor_of, occupy_standard_descriptors, printing_to

log_context: ContextVar[dict[str, Any] | None] = ContextVar("log_context", default=None)
"""Fields that every line logged in this context carries: request_id, and in the worker those of the job."""

METHODS = ("debug", "info", "warning", "error", "critical", "exception")
LEVELS = {"exception": "error"}  # of methods that are not named for their level
Log = structlog.typing.FilteringBoundLogger

MAX_TEXT_LENGTH = 20_000  # characters of a text field
MAX_LINE_BYTES = 100_000  # bytes of a line; its fields are cut further if there are that many
NEVER_DROPPED = (
    "event",
    "source",
    "logger",
    "level",
    "time",
)  # fields kept when all cuts are not enough
DROPPED = "log lines were dropped"
CONTROLS = (*range(0x20), *range(0x7F, 0xA0), *range(0x2028, 0x202F), *range(0x2066, 0x206A))
ESCAPES = {code: chr(code).encode("unicode_escape").decode() for code in CONTROLS}
"""Characters that move the cursor, change colours, begin a line or turn text round, as escapes."""
TRACEBACK_ESCAPES = {**ESCAPES, ord("\n"): "\n  "}  # indented: no line of a message looks like a log line
JSON_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE


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
    occupy_standard_descriptors()
    threshold = logging.getLevelNamesMapping()[level]
    renderers = _json_renderers() if form == "json" else _console_renderers()
    stream = LogStream(descriptor_of(sys.stdout), _notice(renderers))
    if form == "json":
        structlog.configure(
            wrapper_class=_json_logger(threshold),
            logger_factory=lambda *_: stream,
            cache_logger_on_first_use=True,
        )
    else:
        structlog.configure(
            processors=[_complete, *renderers],
            wrapper_class=structlog.make_filtering_bound_logger(threshold),
            logger_factory=lambda *_: _TextLogger(stream),
            cache_logger_on_first_use=True,
        )
    sys.stdout = printing_to(stream, sys.stdout)
    sys.stderr = printing_to(LogStream(descriptor_of(sys.stderr), _notice(renderers)), sys.stderr)
    _adopt_foreign_loggers(level, renderers, stream)


def _json_renderers() -> list[Processor]:
    return [_render_text]


def _console_renderers() -> list[Processor]:
    renderer = structlog.dev.ConsoleRenderer(
        colors=sys.stdout is not None and sys.stdout.isatty(),
        timestamp_key="time",
        exception_formatter=_write_traceback,
    )
    return [_write_time, _write_values, renderer, _cut_line]


def _write_traceback(output: TextIO, error: ExcInfo) -> None:
    """Write a traceback for people: without local variables, which may hold secrets."""
    text = StringIO()
    structlog.dev.plain_traceback(text, error)
    output.write(text.getvalue().translate(TRACEBACK_ESCAPES))


def _notice(renderers: list[Processor]) -> Callable[[int], bytes]:
    """The function that renders a line with the number of dropped lines."""

    def render(count: int) -> bytes:
        event = {"event": DROPPED, "source": __name__, "count": count, "level": "warning"}
        return _line_of({**event, "time": datetime.now(UTC)}, renderers)

    return render


def _line_of(event: EventDict, renderers: Iterable[Processor]) -> bytes:
    line: Any = event
    for renderer in renderers:
        line = renderer(None, event["level"], line)
    return _encode(line)


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "replace") + b"\n"


class _TextLogger:
    """The logger beneath structlog's for rendered lines of text."""

    def __init__(self, stream: LogStream) -> None:
        self._stream = stream

    def msg(self, text: str) -> None:
        self._stream.write(_encode(text))

    debug = info = warning = error = critical = exception = msg


class _ForeignHandler(logging.Handler):
    """Writes the records of libraries to the log stream."""

    def __init__(self, stream: LogStream) -> None:
        super().__init__()
        self._stream = stream

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
        except Exception as error:  # arguments that do not fit the message, say
            record.msg = f"{record.msg!s:.{MAX_TEXT_LENGTH}} (its arguments do not fit: {_name(error)})"
            record.args = record.exc_info = None
            text = self.format(record)
        self._stream.write(_encode(text))


def _adopt_foreign_loggers(level: str, renderers: list[Processor], stream: LogStream) -> None:
    """Give the log lines of uvicorn, arq and other libraries the same form."""
    handler = _ForeignHandler(stream)
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
        self._logger.write(_render(self._logger, level, line))

    methods = {name: method(name) for name in METHODS}
    return type("JsonLogger", (structlog.BoundLoggerBase,), methods)


def _complete(_: WrappedLogger, level: str, event: EventDict) -> EventDict:
    """Add the fields of every line: those of the context, the level, the time."""
    context = log_context.get() or {}
    return {**context, **event, "level": LEVELS.get(level, level), "time": datetime.now(UTC)}


def _write_time(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return {**event, "time": _text(event["time"])}


def _write_values(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Write the values of a line for people, each within its bounds and without control characters."""
    return {
        key: value
        if key == "exc_info" or isinstance(value, int | float | None)
        else _cut(_text(value)).translate(ESCAPES)
        for key, value in event.items()
    }


def _cut_line(_: WrappedLogger, __: str, line: Any) -> str:
    return _cut(line, MAX_LINE_BYTES // 4)  # a character is 4 bytes at most


def _render(logger: WrappedLogger, level: str, event: EventDict) -> bytes:
    """The line as JSON, with its newline, within its bounds."""
    if "exc_info" in event:
        event = structlog.processors.format_exc_info(logger, level, event)
        event = {key: _cut(value) if key == "exception" else value for key, value in event.items()}
    line = _dump(event)
    return line if len(line) <= MAX_TEXT_LENGTH else _render_long(event)


def _render_long(event: EventDict) -> bytes:
    """The line, each field cut to MAX_TEXT_LENGTH, or to less until the line has at most MAX_LINE_BYTES."""
    for limit in (MAX_TEXT_LENGTH, MAX_TEXT_LENGTH // 10, MAX_TEXT_LENGTH // 100):
        event = {key: _cut_value(value, limit) for key, value in event.items()}
        line = _dump(event)
        if len(line) <= MAX_LINE_BYTES:
            return line
    return _dump({key: event[key] for key in NEVER_DROPPED if key in event})


def _cut_value(value: Any, limit: int) -> Any:
    """The value, or both ends of its text if the text is longer than the limit."""
    if isinstance(value, str):
        return _cut(value, limit)
    text = _text(value)
    return value if len(text) <= limit else _cut(text, limit)


def _cut(text: str, limit: int = MAX_TEXT_LENGTH) -> str:
    """The text, or both its ends if it is longer than the limit."""
    half = limit // 2
    return text if len(text) <= limit else f"{text[:half]} … {text[-half:]}"


def _dump(event: EventDict) -> bytes:
    """JSON of any event. Text that UTF-8 lacks is replaced; an exception of a handler may have such text."""
    try:
        return orjson.dumps(event, default=_text, option=JSON_OPTIONS)
    except TypeError:
        pass
    try:
        text = json.dumps(event, default=_text, ensure_ascii=False, allow_nan=False)
    except Exception:  # a cycle, or a key that JSON lacks
        flat = {_text(key): _text(value) for key, value in event.items()}
        text = json.dumps(flat, ensure_ascii=False)
    return _encode(text)


def _text(value: Any) -> str:
    """The value as text, even if its `repr` raises."""
    if isinstance(value, str):
        return value
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    try:
        return repr(value)
    except Exception as error:
        return f"<{type(value).__name__}, whose repr raises {_name(error)}>"


def _name(error: Exception) -> str:
    return type(error).__name__


def _render_text(logger: WrappedLogger, level: str, event: EventDict) -> str:
    return _render(logger, level, event)[:-1].decode()
