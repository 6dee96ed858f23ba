"""What the tests of sources that are AWS's APIs share: an endpoint, credentials in a file, and clients."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scheduler.aws.api_clients import ApiClients
from tests.aws_apis import AwsApis, aws_apis


def write_key(file: Path, key: str) -> None:
    file.write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = secret\n", "utf-8")


def take_keys_away(file: Path) -> None:
    file.write_text("[default]\n", "utf-8")


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Let the credentials be those of a file; gives the file."""
    file = tmp_path / "credentials"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "AWS_PROFILE": "default",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_SHARED_CREDENTIALS_FILE": str(file),
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    write_key(file, "FIRST")
    return file


@pytest.fixture
async def apis(keys: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AwsApis]:
    assert keys
    async with aws_apis() as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL", running.endpoint)
        yield running


@pytest.fixture
async def clients(apis: AwsApis) -> AsyncIterator[ApiClients]:
    assert apis
    made = ApiClients(4, 5.0)
    yield made
    await made.aclose()
