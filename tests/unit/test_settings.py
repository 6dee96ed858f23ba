"""Settings come from the environment, and a bad one is told in one line."""

from datetime import UTC, datetime, timedelta

import pytest

from scheduler.errors import SettingsError
from scheduler.schedule import next_fire
from scheduler.settings import Settings, unknown_variables

NAME = "a name of letters, digits, '_', '-' and '.'"
FUNCTION = "the name or ARN of a Lambda function"
ARN = "arn:aws:lambda:us-east-1:000000000000:function:poller:live"

pytestmark = pytest.mark.usefixtures("no_settings")


def load(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    for name, value in variables.items():
        monkeypatch.setenv(f"SCHEDULER_{name}", value)
    return Settings.load()


def refusal(monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(monkeypatch, **variables)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_the_defaults_are_those_of_the_contract() -> None:
    assert Settings.load().model_dump() == {
        "cron": None,
        "interval_seconds": 60,
        "timezone": "UTC",
        "mode": "direct",
        "poller_function": "poc-poller",
        "lambda_batch_size": 1,
        "lambda_invocation": "wait",
        "lambda_concurrency": None,
        "token_table": "poc-task-tokens",
        "jobs_table": "poc-jobs",
        "source_function": "poc-simulated-api",
        "source_batch_size": 1,
        "sources": None,
        "simulated_api_function": "poc-simulated-api",
        "create_job_function": "poc-create-job",
        "state_machine": "poc-callback-workflow",
        "concurrency": 64,
        "check_timeout_seconds": 10,
        "drain_seconds": 20,
        "due": "auto",
        "shards": 4,
        "retention_days": 7,
        "hold_seconds": 3_600.0,
        "hold_rows": 100_000,
        "log_level": "info",
        "log_format": "json",
        "http_host": "127.0.0.1",
        "http_port": 8080,
        "admin_token": None,
    }


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("CRON", "*/5 * * * *", "*/5 * * * *"),
        ("CRON", "0 0 29 2 *", "0 0 29 2 *"),
        ("INTERVAL_SECONDS", "0.1", 0.1),
        ("INTERVAL_SECONDS", "86400", 86_400),
        ("TIMEZONE", "Europe/Berlin", "Europe/Berlin"),
        ("MODE", "Lambda", "lambda"),
        ("POLLER_FUNCTION", ARN, ARN),
        ("POLLER_FUNCTION", "poller:$LATEST", "poller:$LATEST"),
        ("SOURCE_FUNCTION", "x" * 170, "x" * 170),
        ("LAMBDA_BATCH_SIZE", "1", 1),
        ("LAMBDA_BATCH_SIZE", "100", 100),
        ("LAMBDA_INVOCATION", "Event", "event"),
        ("LAMBDA_CONCURRENCY", "1", 1),
        ("LAMBDA_CONCURRENCY", "100000", 100_000),
        ("SOURCE_BATCH_SIZE", "1", 1),
        ("SOURCE_BATCH_SIZE", "100", 100),
        ("TOKEN_TABLE", "a.b-c_D9", "a.b-c_D9"),
        ("TOKEN_TABLE", "x" * 140, "x" * 140),
        ("CONCURRENCY", "1", 1),
        ("CONCURRENCY", "1000", 1_000),
        ("CHECK_TIMEOUT_SECONDS", "0.1", 0.1),
        ("CHECK_TIMEOUT_SECONDS", "900", 900),
        ("DRAIN_SECONDS", "0", 0),
        ("DRAIN_SECONDS", "900", 900),
        ("DUE", "INDEX", "index"),
        ("DUE", "scan", "scan"),
        ("SHARDS", "1", 1),
        ("SHARDS", "256", 256),
        ("LOG_LEVEL", "DEBUG", "debug"),
        ("LOG_LEVEL", "error", "error"),
        ("LOG_FORMAT", "Console", "console"),
        ("HTTP_HOST", "::", "::"),
        ("HTTP_PORT", "0", 0),
        ("HTTP_PORT", "65535", 65_535),
    ],
)
def test_what_is_allowed_is_taken(monkeypatch: pytest.MonkeyPatch, name: str, value: str, read: object) -> None:
    assert getattr(load(monkeypatch, **{name: value}), name.lower()) == read


@pytest.mark.parametrize(
    ("name", "values", "allowed"),
    [
        (
            "INTERVAL_SECONDS",
            ["0.09", "0", "-1", "86401", "nan", "inf", "soon"],
            "a number of seconds from 0.1 to 86400",
        ),
        ("CHECK_TIMEOUT_SECONDS", ["0.09", "901", "nan", "-inf"], "a number of seconds from 0.1 to 900"),
        ("DRAIN_SECONDS", ["-0.1", "901", "nan", "x"], "a number of seconds from 0 to 900"),
        ("MODE", ["both", "directly"], "direct or lambda"),
        ("LAMBDA_BATCH_SIZE", ["0", "101", "1.5", "x"], "a whole number from 1 to 100"),
        ("LAMBDA_INVOCATION", ["later", "events"], "wait or event"),
        ("LAMBDA_CONCURRENCY", ["0", "100001", "1.5", "all"], "a whole number from 1 to 100000"),
        ("SOURCE_BATCH_SIZE", ["0", "101", "1.5", "x"], "a whole number from 1 to 100"),
        ("CONCURRENCY", ["0", "1001", "-1", "1e9"], "a whole number from 1 to 1000"),
        ("SHARDS", ["0", "257", "x"], "a whole number from 1 to 256"),
        ("DUE", ["never"], "auto, scan or index"),
        ("LOG_LEVEL", ["trace", "warn", "10"], "debug, info, warning or error"),
        ("LOG_FORMAT", ["text"], "json or console"),
        ("HTTP_PORT", ["-1", "65536", "http"], "a port from 0 to 65535"),
        ("TOKEN_TABLE", ["a b", "x" * 141, "tab\n", "é"], NAME),
        ("JOBS_TABLE", ["a/b"], NAME),
        ("SIMULATED_API_FUNCTION", [ARN], NAME),
        ("CREATE_JOB_FUNCTION", ["a:b"], NAME),
        ("STATE_MACHINE", ["a b"], NAME),
        ("POLLER_FUNCTION", ["a b", "x" * 171], FUNCTION),
        ("SOURCE_FUNCTION", ["a/b"], FUNCTION),
    ],
)
def test_what_is_not_allowed_is_named_with_its_value_and_what_is(
    monkeypatch: pytest.MonkeyPatch, name: str, values: list[str], allowed: str
) -> None:
    for value in values:
        expected = f"SCHEDULER_{name}={value!r} is not allowed: it takes {allowed}"
        assert refusal(monkeypatch, **{name: value}) == expected


@pytest.mark.parametrize(
    ("cron", "why"),
    [
        ("* * * *", "it has 4 fields"),
        ("* * * * * * *", "it has 7 fields"),
        ("  ", "it has 0 fields"),
        ("@daily", "it has 1 fields"),
        ("0 0 30 2 *", "it never fires"),
        ("0 0 * * 8", "'8' is no weekday"),
        ("x * * * *", 'Unrecognized expression "x" for field "minute"'),
        ("x\n* * * *", 'Unrecognized expression "x" for field "minute"'),
        ("*/0 * * * *", "Increment must be higher than 0"),
    ],
)
def test_a_cron_that_is_none_or_never_fires_is_refused(monkeypatch: pytest.MonkeyPatch, cron: str, why: str) -> None:
    takes = "it takes 5 cron fields, or 6 with seconds first, that fire some day"
    assert refusal(monkeypatch, CRON=cron) == f"SCHEDULER_CRON={cron!r} is not allowed ({why}): {takes}"


@pytest.mark.parametrize("zone", ["Europe", "Mars/Base", "../etc/passwd", "/etc/localtime", "europe berlin"])
def test_an_unknown_time_zone_is_refused_even_without_a_cron(monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
    takes = "it takes the name of a time zone, such as Europe/Berlin"
    expected = f"SCHEDULER_TIMEZONE={zone!r} is not allowed (it is no known time zone): {takes}"
    assert refusal(monkeypatch, TIMEZONE=zone) == expected


def test_all_that_is_wrong_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    line = refusal(monkeypatch, SHARDS="x", MODE="both")
    assert line == (
        "SCHEDULER_MODE='both' is not allowed: it takes direct or lambda; "
        "SCHEDULER_SHARDS='x' is not allowed: it takes a whole number from 1 to 256"
    )


def test_both_a_cron_and_an_interval_are_an_error_even_where_the_interval_is_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = refusal(monkeypatch, CRON="* * * * *", INTERVAL_SECONDS="60")
    assert line == (
        "SCHEDULER_CRON='* * * * *' and SCHEDULER_INTERVAL_SECONDS=60 are both set: only one of them is allowed"
    )


@pytest.mark.parametrize("name", [name.upper() for name in Settings.model_fields])
def test_an_empty_variable_is_unset(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert load(monkeypatch, **{name: ""}) == Settings.load()
    assert load(monkeypatch, **{name: ""}).model_fields_set == set()


def test_a_cron_beside_an_empty_interval_is_no_conflict(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(monkeypatch, CRON="* * * * *", INTERVAL_SECONDS="").cron == "* * * * *"


def test_what_is_passed_in_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCHEDULER_SHARDS", "8")
    assert Settings.load(shards=2).shards == 2


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings.load().shards = 8  # type: ignore[misc]


def test_the_admin_token_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, ADMIN_TOKEN="s3cret")
    assert settings.admin_token is not None
    assert settings.admin_token.get_secret_value() == "s3cret"
    assert "s3cret" not in f"{settings} {settings!r} {settings.model_dump()} {settings.model_dump_json()}"


def test_the_admin_token_is_not_shown_in_an_error_either(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "s3cret" not in refusal(monkeypatch, ADMIN_TOKEN="s3cret", SHARDS="x")
    with pytest.raises(SettingsError) as caught:
        Settings.load(admin_token=["s3cret"])
    assert "SCHEDULER_ADMIN_TOKEN=*** is not allowed: it takes a secret text" in str(caught.value)
    assert "s3cret" not in f"{caught.value} {caught.value!r}"


# --- what one invocation of the poller Lambda may take


@pytest.mark.parametrize(
    ("check", "batch", "most"),
    [("900", "1", "874"), ("874.1", "8", "874"), ("60", "100", "47.8"), ("900", "9", "426.5")],
)
def test_polls_that_outlast_an_invocation_are_refused_with_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, check: str, batch: str, most: str
) -> None:
    line = refusal(monkeypatch, MODE="lambda", CHECK_TIMEOUT_SECONDS=check, LAMBDA_BATCH_SIZE=batch)
    assert line == (
        f"SCHEDULER_CHECK_TIMEOUT_SECONDS={check} with SCHEDULER_LAMBDA_BATCH_SIZE={batch} is not allowed"
        " in lambda mode, where an invocation may take 900 s: with this batch size it takes"
        f" a number of seconds from 0.1 to {most}"
    )
    assert load(monkeypatch, CHECK_TIMEOUT_SECONDS=most).invoke_seconds <= 900


def test_in_direct_mode_a_check_may_take_as_long_as_a_function_may() -> None:
    assert Settings.load(check_timeout_seconds=900).check_timeout_seconds == 900


# --- variables that are no settings


def test_a_variable_that_is_no_setting_is_named_with_the_nearest_that_is() -> None:
    environment = {
        "SCHEDULER_INTERVALL_SECONDS": "1",
        "scheduler_shard": "1",
        "SCHEDULER_TOKEN_TABLE": "fine",
        "scheduler_mode": "fine",
        "PATH": "/bin",
        "MY_SCHEDULER_CRONN": "not ours",
    }
    assert unknown_variables(environment) == [
        "SCHEDULER_INTERVALL_SECONDS is not a setting; did you mean SCHEDULER_INTERVAL_SECONDS?",
        "scheduler_shard is not a setting; did you mean SCHEDULER_SHARDS?",
    ]


@pytest.mark.parametrize(
    ("variable", "meant"), [("TABLE", "TOKEN_TABLE"), ("PORT", "HTTP_PORT"), ("INTERVAL", "INTERVAL_SECONDS")]
)
def test_a_part_of_a_name_stands_for_the_first_setting_that_has_it(variable: str, meant: str) -> None:
    (line,) = unknown_variables({f"SCHEDULER_{variable}": "1"})
    assert line == f"SCHEDULER_{variable} is not a setting; did you mean SCHEDULER_{meant}?"


def test_a_variable_that_is_near_to_nothing_is_named_alone() -> None:
    assert unknown_variables({"SCHEDULER_ABCDEFGHIJKLMNOPQRSTUVWXYZ": "1"}) == [
        "SCHEDULER_ABCDEFGHIJKLMNOPQRSTUVWXYZ is not a setting"
    ]


def test_the_value_of_a_variable_that_is_no_setting_is_not_shown() -> None:
    (line,) = unknown_variables({"SCHEDULER_ADMIN_TOKN": "s3cret"})
    assert line == "SCHEDULER_ADMIN_TOKN is not a setting; did you mean SCHEDULER_ADMIN_TOKEN?"


# --- the schedule


def test_without_a_cron_ticks_come_at_the_interval() -> None:
    trigger = Settings.load(interval_seconds=0.5).trigger()
    first = next_fire(trigger, datetime.now(UTC))
    assert first is not None
    assert next_fire(trigger, first) == first + timedelta(seconds=0.5)


def test_a_cron_is_read_in_its_time_zone() -> None:
    trigger = Settings.load(cron="0 12 * * *", timezone="Asia/Tokyo").trigger()
    assert next_fire(trigger, datetime(2026, 1, 1, tzinfo=UTC)) == datetime(2026, 1, 1, 3, tzinfo=UTC)


def test_with_a_cron_a_row_without_an_interval_of_its_own_is_polled_at_each_tick(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SCHEDULER_CRON", "*/5 * * * * *")
    settings = Settings.load()
    assert (settings.poll_seconds, settings.schedule) == (5, "cron */5 * * * * * UTC")
