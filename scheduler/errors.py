"""Errors that end a command or make the daemon wait, each with the one line that a person needs."""

from scheduler.core.service_calls import Refusal, missing_line


class SchedulerError(Exception):
    """Something a person has to know or do; its text is one clear line without a secret."""


class SettingsError(SchedulerError):
    """A setting is not allowed; the line names the variable, its value and what is allowed."""


class CloudError(SchedulerError):
    """The cloud could not be used: unreachable, throttled, access denied. It may pass by itself.

    `refusal` says why, where it is one of the usual reasons; `reason` is short and may be shown to anybody.
    """

    def __init__(self, message: str, refusal: Refusal | None = None, reason: str | None = None) -> None:
        self.refusal = refusal
        self.reason = reason or (refusal.value if refusal else "cannot be used")
        super().__init__(message)


class MissingError(CloudError):
    """A table, function or state machine does not exist; the line names it, the place and the command that makes it."""

    def __init__(self, kind: str, name: str, where: str = "") -> None:
        super().__init__(missing_line(kind, name, where), Refusal.MISSING)
