"""Logs: one JSON object a line on standard output, or coloured lines for people."""

import logging
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from scheduler.core.instant import format_iso

ROOT = "scheduler"


def logger(name: str = ROOT) -> structlog.stdlib.BoundLogger:
    """Give a logger; it logs wherever `configure` says once that has run."""
    log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return log


def printable(text: str) -> str:
    """Give a text for a terminal: one that would break the line or move the cursor is quoted and escaped."""
    return text if text.isprintable() else repr(text)


class _Lines(logging.StreamHandler[TextIO]):
    """Writes lines to a stream; once nobody reads them any more, they go nowhere, and `unread` is called."""

    def __init__(self, stream: TextIO, unread: Callable[[], None] | None) -> None:
        super().__init__(stream)
        self._unread = unread

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  the standard library's name
        if not isinstance(sys.exc_info()[1], BrokenPipeError):
            super().handleError(record)
            return
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())
        if self._unread:
            self._unread()


def configure(
    level: str, style: str, stream: TextIO | None = None, *, unread: Callable[[], None] | None = None
) -> None:
    """Send every logger of the process to the stream (standard output), the libraries' ones too.

    `unread` is called once, within a call of some logger, when whoever read the stream has gone, as `head` does.
    `level` is for our own loggers. The libraries stay at warning whatever it says: botocore's debug lines hold whole
    requests, and a request to Step Functions holds the task token.
    """
    stream = stream or sys.stdout
    shared: list[Processor] = [structlog.stdlib.add_log_level, _timestamp]
    rendering: list[Processor]
    if style == "json":
        # ASCII only, so that no character of a job id or an error can end the line or move a terminal's cursor.
        renderer = structlog.processors.JSONRenderer(ensure_ascii=True)
        rendering = [structlog.processors.format_exc_info, _in_order, renderer]
    else:
        # Tracebacks are plain in both styles: the renderer's own would show local variables, and so a task token.
        plain = structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback)
        rendering = [structlog.processors.format_exc_info, _printable, plain]
    handler = _Lines(stream, unread)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_foreign, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    # APScheduler warns of every tick that it skips; the daemon counts and logs these itself.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    logging.getLogger(ROOT).setLevel(level.upper())
    logging.captureWarnings(capture=True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def _timestamp(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event["timestamp"] = format_iso(int(datetime.now(UTC).timestamp() * 1000))
    return event


def _in_order(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Let each line begin with what every line has."""
    first = {name: event.pop(name) for name in ("timestamp", "level", "event") if name in event}
    return first | dict(event)


def _printable(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Escape what would move a terminal's cursor; a traceback keeps its lines."""
    for name, value in event.items():
        if name == "exception":
            event[name] = "\n".join(map(printable, str(value).splitlines()))
        elif isinstance(value, str):
            event[name] = printable(value)
    return event


def _foreign(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Give a library's message a dotted event name of its own, and keep its text beside it."""
    record: logging.LogRecord = event["_record"]
    event["message"] = event["event"]
    event["event"] = f"library.{record.name}"
    return event
