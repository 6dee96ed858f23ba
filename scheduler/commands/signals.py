"""Ctrl-C and SIGTERM where nothing is open that wants to be closed."""

import os
import signal

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def exit_code(number: int) -> int:
    """Give the exit code of a process that a signal has ended, as a shell shows it."""
    return 128 + number


def end_at_once_on_signals() -> None:
    """Let these signals end the process at once, and without a word.

    By default Ctrl-C raises KeyboardInterrupt wherever the program is, in the midst of some library's import too, and
    process 1 of a container never notices SIGTERM. A signal that whoever started us has set to be ignored stays so.
    """
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end_at_once)


def _end_at_once(number: int, _frame: object) -> None:
    os._exit(exit_code(number))
