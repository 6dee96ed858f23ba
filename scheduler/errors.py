"""Errors that end a command or make the daemon wait, each with the one line that a person needs."""

from scheduler.core.service_calls import missing_line


class SchedulerError(Exception):
    """Something a person has to know or do; its text is one clear line without a secret."""


class SettingsError(SchedulerError):
    """A setting is not allowed; the line names the variable, its value and what is allowed."""


class CloudError(SchedulerError):
    """The cloud could not be used: unreachable, throttled, access denied. It may pass by itself."""


class CredentialsError(CloudError):
    """There are no credentials. Clients that were made without any never get some: only new ones do."""


class MissingError(CloudError):
    """A table, function or state machine does not exist; the line names it and the command that makes it."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(missing_line(kind, name))
