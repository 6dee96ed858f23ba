"""Crashes: faults of ours within a poll, told without the tokens that the poll was about."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from scheduler.core.row_reader import Found, Malformed
from scheduler.errors import SchedulerError


class PollError(Exception):
    """A poll that crashed; its text shows no token of the rows that were polled."""


@contextmanager
def without_tokens(rows: Sequence[Found]) -> Iterator[None]:
    """Raise whatever goes wrong within as a PollError with the same traceback.

    The original is left out on purpose, with its causes: all of them would be logged.
    """
    try:
        yield
    except SchedulerError:
        raise  # its text is for people already
    except Exception as error:  # noqa: BLE001  whatever it is, it may hold a token
        raise PollError(_told(error, rows)).with_traceback(error.__traceback__) from None


def _told(error: Exception, rows: Sequence[Found]) -> str:
    text = f"{type(error).__name__}: {error}"
    for row in rows:
        if isinstance(row, Malformed):
            return type(error).__name__  # nobody knows where in such a row its token stands
        text = row.token.scrub(text)
    return text
