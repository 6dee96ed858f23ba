"""Settings: every SCHEDULER_ variable, checked once at the start and never changed after."""

import difflib
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from apscheduler.triggers.base import BaseTrigger
from pydantic import BeforeValidator, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from scheduler.core.timing import POLLER_THREADS, lease_seconds
from scheduler.errors import SettingsError
from scheduler.schedule import cron_trigger, interval_trigger, shortest_gap

PREFIX = "SCHEDULER_"
_LONGEST_INVOCATION_SECONDS = 900.0  # of any Lambda function
_INVOKE_MARGIN_SECONDS = 5.0
_TYPO = 0.8  # of two names that are this much alike, one is the other misspelt
SECRET_FIELDS = frozenset({"admin_token"})

Lowered = BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value)
Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_.-]{1,140}$")]
# A function may also be given as an ARN, with an alias or in another account.
FunctionName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_:$-]{1,170}$")]
_NAME = "a name of letters, digits, '_', '-' and '.'"
_FUNCTION = "the name or ARN of a Lambda function"


class Settings(BaseSettings):
    """The daemon's settings. Each field's description says what is allowed, in the words of the error message."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="ignore", hide_input_in_errors=True
    )

    timezone: str = Field("UTC", description="the name of a time zone, such as Europe/Berlin")
    cron: str | None = Field(None, description="5 cron fields, or 6 with seconds first, that fire some day")
    interval_seconds: float = Field(60, ge=0.1, le=86_400, description="a number of seconds from 0.1 to 86400")
    mode: Annotated[Literal["direct", "lambda"], Lowered] = Field("direct", description="direct or lambda")
    poller_function: FunctionName = Field("poc-poller", description=_FUNCTION)
    lambda_batch_size: int = Field(1, ge=1, le=100, description="a whole number from 1 to 100")
    lambda_invocation: Annotated[Literal["wait", "event"], Lowered] = Field("wait", description="wait or event")
    lambda_concurrency: int | None = Field(None, ge=1, le=100_000, description="a whole number from 1 to 100000")
    token_table: Name = Field("poc-task-tokens", description=_NAME)
    jobs_table: Name = Field("poc-jobs", description=_NAME)
    source_function: FunctionName = Field("poc-simulated-api", description=_FUNCTION)
    source_batch_size: int = Field(1, ge=1, le=100, description="a whole number from 1 to 100")
    sources: str | None = Field(None, description="the path of a YAML file, or JSON that begins with {")
    simulated_api_function: Name = Field("poc-simulated-api", description=_NAME)
    create_job_function: Name = Field("poc-create-job", description=_NAME)
    state_machine: Name = Field("poc-callback-workflow", description=_NAME)
    concurrency: int = Field(64, ge=1, le=1_000, description="a whole number from 1 to 1000")
    check_timeout_seconds: float = Field(10, ge=0.1, le=900, description="a number of seconds from 0.1 to 900")
    drain_seconds: float = Field(20, ge=0, le=900, description="a number of seconds from 0 to 900")
    due: Annotated[Literal["auto", "scan", "index"], Lowered] = Field("auto", description="auto, scan or index")
    shards: int = Field(4, ge=1, le=256, description="a whole number from 1 to 256")
    hold_seconds: float = Field(3_600, ge=0, le=86_400, description="a number of seconds from 0 to 86400")
    hold_rows: int = Field(100_000, ge=0, le=1_000_000, description="a whole number from 0 to 1000000")
    retention_days: float = Field(7, ge=0, le=3_650, description="a number of days from 0 to 3650")
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Lowered] = Field(
        "info", description="debug, info, warning or error"
    )
    log_format: Annotated[Literal["json", "console"], Lowered] = Field("json", description="json or console")
    http_host: str = Field("127.0.0.1", min_length=1, description="a host name or address to listen on")
    http_port: int = Field(8080, ge=0, le=65_535, description="a port from 0 to 65535")
    admin_token: SecretStr | None = Field(None, description="a secret text")

    @field_validator("timezone")
    @classmethod
    def _known_timezone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (OSError, ValueError, KeyError) as error:
            message = "it is no known time zone"
            raise ValueError(message) from error
        return name

    @field_validator("cron")
    @classmethod
    def _firing_cron(cls, expression: str | None, info: ValidationInfo) -> str | None:
        if expression is not None and "timezone" in info.data:
            cron_trigger(expression, ZoneInfo(info.data["timezone"]))
        return expression

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what is passed in, then the environment; no files."""
        del settings_cls, dotenv_settings, file_secret_settings
        return init_settings, env_settings

    @classmethod
    def load(cls, **given: Any) -> Self:
        """Read the environment; what is given wins over it. Raises SettingsError: one line for all that is wrong."""
        try:
            settings = cls(**given)
        except ValidationError as error:
            raise SettingsError("; ".join(_explain(cls, fault) for fault in error.errors())) from None
        if settings.cron is not None and "interval_seconds" in settings.model_fields_set:
            message = (
                f"SCHEDULER_CRON={settings.cron!r} and SCHEDULER_INTERVAL_SECONDS={settings.interval_seconds:g}"
                " are both set: only one of them is allowed"
            )
            raise SettingsError(message)
        if settings.mode == "lambda":
            settings._require_invocations_that_fit()
        return settings

    def _require_invocations_that_fit(self) -> None:
        """Raise SettingsError where Lambda would end the poller before it can have polled what it was given."""
        if self.fits_invocation(self.check_timeout_seconds):
            return
        # Rounded down to tenths, so that what the line allows is allowed.
        longest = (_LONGEST_INVOCATION_SECONDS - _INVOKE_MARGIN_SECONDS) / self._rounds - lease_seconds(0)
        message = (
            f"SCHEDULER_CHECK_TIMEOUT_SECONDS={self.check_timeout_seconds:g} with"
            f" SCHEDULER_LAMBDA_BATCH_SIZE={self.lambda_batch_size} is not allowed in lambda mode, where an invocation"
            f" may take {_LONGEST_INVOCATION_SECONDS:g} s: with this batch size it takes a number of seconds from 0.1"
            f" to {math.floor(longest * 10) / 10:g}"
        )
        raise SettingsError(message)

    @property
    def schedule(self) -> str:
        """Give the schedule of ticks in words."""
        return f"cron {self.cron} {self.timezone}" if self.cron else f"every {self.interval_seconds:g} s"

    @property
    def poll_seconds(self) -> float:
        """Give the interval of a row that has none of its own: that of the ticks, or a cron's shortest one."""
        return shortest_gap(self.trigger(), datetime.now(UTC)) if self.cron else self.interval_seconds

    @property
    def lease_seconds(self) -> float:
        """Give the time that one poll may take."""
        return lease_seconds(self.check_timeout_seconds)

    @property
    def invoke_seconds(self) -> float:
        """Give the time that one invocation of the poller Lambda may take; it polls eight of a batch at once."""
        return self.invoke_seconds_with(self.check_timeout_seconds)

    def invoke_seconds_with(self, check_seconds: float) -> float:
        """Give the time that one invocation may take where a check may take so long."""
        return min(_LONGEST_INVOCATION_SECONDS, self._wanted(check_seconds))

    def fits_invocation(self, check_seconds: float) -> bool:
        """Tell whether an invocation can poll its jobs where a check of each may take so long."""
        return self._wanted(check_seconds) <= _LONGEST_INVOCATION_SECONDS

    def _wanted(self, check_seconds: float) -> float:
        return lease_seconds(check_seconds) * self._rounds + _INVOKE_MARGIN_SECONDS

    @property
    def _rounds(self) -> int:
        return math.ceil(self.lambda_batch_size / POLLER_THREADS)

    @property
    def state_machine_without_lambda(self) -> str:
        """Give the name of the workflow that needs no function; the setting may name that one itself."""
        end = "-without-lambda"
        return self.state_machine if self.state_machine.endswith(end) else self.state_machine + end

    def trigger(self) -> BaseTrigger:
        """Give the schedule of ticks."""
        if self.cron is not None:
            return cron_trigger(self.cron, ZoneInfo(self.timezone))
        return interval_trigger(self.interval_seconds)


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """Give a line for each SCHEDULER_ variable that is no setting, with the nearest one that is."""
    known = [name.upper() for name in Settings.model_fields]
    lines = []
    for variable in sorted(environment):
        name = variable.upper().removeprefix(PREFIX)
        if variable.upper().startswith(PREFIX) and name not in known:
            near = _nearest(name, known)
            hint = f"; did you mean {PREFIX}{near}?" if near else ""
            lines.append(f"{variable} is not a setting{hint}")
    return lines


def _nearest(name: str, known: list[str]) -> str | None:
    """Give the name that was meant: one misspelt, or the first that has all its words, or what is most alike."""
    misspelt = difflib.get_close_matches(name, known, n=1, cutoff=_TYPO)
    longer = [each for each in known if set(name.split("_")) <= set(each.split("_"))]
    alike = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    return next(iter([*misspelt, *longer, *alike]), None)


def _explain(cls: type[Settings], fault: Any) -> str:
    name = str(fault["loc"][0])
    allowed = cls.model_fields[name].description
    variable = PREFIX + name.upper()
    value = "***" if name in SECRET_FIELDS else repr(fault["input"])
    why = f" ({fault['ctx']['error']})" if fault["type"] == "value_error" else ""
    return f"{variable}={value} is not allowed{why}: it takes {allowed}"
