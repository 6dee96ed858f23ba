"""The standard AWS variables: what of them cannot be used is said in one line, before any call is made."""

import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from scheduler.aws.clients import admin_clients, open_session
from scheduler.core.service_calls import Refusal
from scheduler.errors import CloudError, SchedulerError, SettingsError

ENDPOINT = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
URL = "is not allowed: it takes a URL, such as http://localhost:4566"
REGION = "is not allowed: it takes the name of a region, such as us-east-1"

Refused = Callable[..., Coroutine[Any, Any, SchedulerError]]


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Give an empty configuration of the SDK, and an environment that says nothing else of AWS."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    path = tmp_path / "config"
    path.touch()
    monkeypatch.setenv("AWS_CONFIG_FILE", str(path))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return path


@pytest.fixture
def refusal(monkeypatch: pytest.MonkeyPatch, config: Path) -> Refused:
    """Make clients in an environment where that must fail, and give what is raised."""
    del config

    async def refused(**environment: str) -> SchedulerError:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SchedulerError) as raised:
            async with admin_clients():
                pass
        assert len(str(raised.value).splitlines()) == 1
        return raised.value

    return refused


def write(config: Path, profile: str) -> None:
    config.write_text(f"[profile p]\n{profile}\n", "utf-8")


@pytest.mark.parametrize(
    "url",
    [
        "localhost:4566",
        "//localhost:4566",
        "http://",
        "http:///path",
        "ftp://localhost:4566",
        "http://localhost:99999",
        "http://localhost:0",
        "http://localhost:port",
        "http://[::1",
        "http://local host:4566",
        "http://localhost:4566\n",
    ],
)
@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SFN"])
async def test_an_endpoint_that_is_no_address_is_named(refusal: Refused, variable: str, url: str) -> None:
    error = await refusal(**{variable: url})
    assert (type(error), str(error)) == (SettingsError, f"{variable}={url!r} {URL}")


@pytest.mark.parametrize("region", ["us east-1", " us-east-1", "us-east-1\n", "us_east_1", "-", "x" * 64])
@pytest.mark.parametrize("variable", ["AWS_REGION", "AWS_DEFAULT_REGION"])
async def test_a_region_that_can_be_none_is_named(refusal: Refused, variable: str, region: str) -> None:
    error = await refusal(**ENDPOINT, **{variable: region})
    assert (type(error), str(error)) == (SettingsError, f"{variable}={region!r} {REGION}")


@pytest.mark.parametrize("variable", ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"])
async def test_a_profile_that_is_not_there_is_named(refusal: Refused, variable: str) -> None:
    error = await refusal(**ENDPOINT, **{variable: "nope"})
    assert isinstance(error, SettingsError)
    assert str(error) == f"{variable}='nope' is not allowed: it takes the name of a profile that is there"


async def test_half_a_key_pair_is_named(refusal: Refused) -> None:
    error = await refusal(**ENDPOINT, AWS_ACCESS_KEY_ID="test")
    assert isinstance(error, SettingsError)
    assert str(error) == "AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY is not: set both of them, or neither"


async def test_no_region_at_all_is_a_setting_that_is_missing(refusal: Refused) -> None:
    error = await refusal(**KEYS)
    assert isinstance(error, SettingsError)
    assert str(error) == "no AWS region is set: set AWS_REGION, or AWS_ENDPOINT_URL for a local cloud"


@pytest.mark.parametrize(
    ("profile", "says"),
    [
        ("region = us east-1", "InvalidRegionError: Provided region_name 'us east-1' doesn't match"),
        ("endpoint_url = localhost:1\nregion = us-east-1", "ValueError: Invalid endpoint: localhost:1"),
        (
            "role_arn = arn:aws:iam::000000000000:role/r\nsource_profile = gone",
            "InvalidConfigError: The source_profile",
        ),
        ("nonsense", "ConfigParseError: Unable to parse config file"),
    ],
)
async def test_what_is_wrong_in_a_profile_is_told_as_a_setting(
    refusal: Refused, config: Path, profile: str, says: str
) -> None:
    write(config, profile)
    keys = {} if "role_arn" in profile else KEYS
    error = await refusal(AWS_PROFILE="p", **keys)
    assert isinstance(error, SettingsError)
    assert str(error).startswith(f"the AWS settings cannot be used: {says}")


@pytest.mark.parametrize("profile", ["aws_access_key_id = half", "credential_process = false"])
async def test_credentials_that_a_file_does_not_give_may_come_right_by_themselves(
    refusal: Refused, config: Path, profile: str
) -> None:
    write(config, f"region = us-east-1\n{profile}")
    error = await refusal(AWS_PROFILE="p")
    assert isinstance(error, CloudError)
    assert error.refusal is Refusal.CREDENTIALS


@pytest.mark.usefixtures("config")
def test_a_local_cloud_takes_empty_variables_for_unset_ones() -> None:
    empty = {"AWS_REGION": "", "AWS_DEFAULT_REGION": "", "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    session = open_session(ENDPOINT | empty)
    assert session.region_name == "us-east-1"
