"""Logs are JSON lines, whatever is logged and whoever logs it."""

import io
import json
import logging
import re
import warnings
from typing import Any

import pytest
from rich.text import Text

from scheduler.core.token import TaskToken
from scheduler.log import configure, logger
from tests.unit.conftest import Logs

NASTY = [
    "two\nlines",
    "carriage\rreturn",
    "\x1b[31mred\x1b[0m",
    "quotes \" and \\ and '",
    "separators \u2028 \u2029 \x85",
    "bell \x07 and null \x00",
    "backwards \u202e text",
    "a lone \ud800 surrogate",
    "é € 😀",
]


def lines(level: str, style: str = "json") -> io.StringIO:
    stream = io.StringIO()
    configure(level, style, stream)
    return stream


def only(logs: Logs) -> dict[str, Any]:
    (line,) = logs()
    return line


def test_a_line_has_a_timestamp_a_level_and_an_event(logs: Logs) -> None:
    logger().info("tick.finished", due=3)
    line = only(logs)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("timestamp"))
    assert line == {"level": "info", "event": "tick.finished", "due": 3}


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error", "critical"])
def test_a_line_s_level_is_its_method_s(logs: Logs, level: str) -> None:
    getattr(logger(), level)("tick.finished")
    assert only(logs)["level"] == level


def test_what_is_bound_is_on_every_line(logs: Logs) -> None:
    log = logger().bind(tick_id="t1")
    log.info("poll.in_progress", job_id="a")
    log.info("tick.finished")
    assert [line["tick_id"] for line in logs()] == ["t1", "t1"]


@pytest.mark.parametrize("value", NASTY)
@pytest.mark.usefixtures("restored_logging")
def test_no_value_breaks_its_line(value: str) -> None:
    stream = lines("info")
    logger().info("poll.check_failed", job_id=value, error=[{value: value}])
    text = stream.getvalue()
    assert text.isascii()
    assert len(text.splitlines()) == 1
    assert not re.search(r"[\x00-\x1f\x7f]", text.removesuffix("\n"))
    line = json.loads(text)
    assert (line["job_id"], line["error"]) == (value, [{value: value}])


@pytest.mark.parametrize("value", NASTY)
def test_no_message_of_a_library_breaks_its_line(logs: Logs, value: str) -> None:
    logging.getLogger("botocore.retries").warning("it said %s", value)
    line = only(logs)
    assert (line["event"], line["message"], line["level"]) == (
        "library.botocore.retries",
        f"it said {value}",
        "warning",
    )
    assert "timestamp" in line


def failing() -> None:
    message = "first\nsecond"
    raise ValueError(message)


def test_an_exception_is_one_line(logs: Logs) -> None:
    try:
        failing()
    except ValueError:
        logger().exception("poll.crashed", job_id="a")
    line = only(logs)
    assert (line["event"], line["level"], line["job_id"]) == ("poll.crashed", "error", "a")
    assert line["exception"].startswith("Traceback (most recent call last):\n")
    assert line["exception"].endswith("ValueError: first\nsecond")


def test_an_exception_of_a_library_is_one_line(logs: Logs) -> None:
    try:
        failing()
    except ValueError:
        logging.getLogger("aiohttp").exception("it broke")
    line = only(logs)
    assert (line["message"], line["level"]) == ("it broke", "error")
    assert line["exception"].endswith("ValueError: first\nsecond")


def test_a_traceback_shows_no_local_variable(logs: Logs) -> None:
    canary = "s3cret".upper()
    try:
        assert canary
        failing()
    except ValueError:
        logger().exception("poll.crashed")
    assert "S3CRET" not in str(logs())


@pytest.mark.filterwarnings("always")
@pytest.mark.usefixtures("restored_logging")
def test_a_warning_of_python_s_is_one_line() -> None:
    stream = lines("info")
    warnings.warn("careful\nnow", stacklevel=1)
    line = json.loads(stream.getvalue())
    assert (line["event"], line["level"]) == ("library.py.warnings", "warning")
    assert "careful\nnow" in line["message"]


def test_what_json_does_not_know_is_shown_by_its_repr(logs: Logs) -> None:
    token = TaskToken("s3cret")
    logger().info("answer.delivered", token=token)
    assert only(logs)["token"] == repr(token)


@pytest.mark.parametrize("name", ["botocore", "botocore.endpoint", "aiobotocore", "aiohttp.access", "asyncio", "boto3"])
def test_libraries_stay_at_warning_even_at_debug(logs: Logs, name: str) -> None:
    library = logging.getLogger(name)
    library.debug("a request with a task token")
    library.info("a request with a task token")
    assert logs() == []
    library.warning("a retry")
    assert only(logs)["message"] == "a retry"


def test_apscheduler_is_heard_only_where_something_broke(logs: Logs) -> None:
    logging.getLogger("apscheduler.scheduler").warning("a tick was skipped")
    assert logs() == []
    logging.getLogger("apscheduler.executors.default").error("a job raised")
    assert only(logs)["message"] == "a job raised"


@pytest.mark.parametrize(
    ("level", "heard"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
@pytest.mark.usefixtures("restored_logging")
def test_our_own_lines_begin_at_the_level(level: str, heard: list[str]) -> None:
    stream = lines(level)
    for method in ("debug", "info", "warning", "error"):
        getattr(logger(), method)("tick.finished")
    assert [json.loads(line)["level"] for line in stream.getvalue().splitlines()] == heard


@pytest.mark.usefixtures("restored_logging")
def test_a_second_configuration_replaces_the_first() -> None:
    first, second = lines("info"), lines("info")
    logger().info("tick.finished")
    assert first.getvalue() == ""
    assert len(second.getvalue().splitlines()) == 1


@pytest.mark.usefixtures("restored_logging")
def test_without_a_stream_lines_go_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "json")
    logger().info("tick.finished")
    captured = capsys.readouterr()
    assert json.loads(captured.out)["event"] == "tick.finished"
    assert captured.err == ""


@pytest.mark.usefixtures("restored_logging")
def test_people_get_lines_that_they_can_read() -> None:
    stream = lines("info", "console")
    logger().info("tick.finished", due=3)
    text = Text.from_ansi(stream.getvalue()).plain
    assert "tick.finished" in text
    assert "due=3" in text
    assert not text.startswith("{")


@pytest.mark.usefixtures("restored_logging")
def test_a_traceback_on_the_console_is_plain_and_shows_no_local_variable() -> None:
    stream = lines("info", "console")
    canary = "s3cret".upper()
    try:
        assert canary
        failing()
    except ValueError:
        logger().exception("poll.crashed", job_id="a")
    text = Text.from_ansi(stream.getvalue()).plain
    assert "S3CRET" not in text
    assert "Traceback (most recent call last):" in text
    assert "ValueError: first\nsecond" in text


@pytest.mark.usefixtures("restored_logging")
def test_a_traceback_on_the_console_moves_no_cursor() -> None:
    stream = lines("info", "console")
    try:
        raise ValueError(NASTY[2])  # noqa: TRY301  its message is what is looked at
    except ValueError:
        logger().exception("poll.crashed")
    assert NASTY[2] not in stream.getvalue()
    assert "\\x1b[31mred" in stream.getvalue()


@pytest.mark.usefixtures("restored_logging")
def test_a_value_moves_no_cursor_on_the_console_either() -> None:
    stream = lines("info", "console")
    logger().info("poll.in_progress", job_id="\x1b[2Jgone")
    assert "\x1b[2J" not in stream.getvalue()
