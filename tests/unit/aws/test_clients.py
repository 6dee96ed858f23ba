"""The clients of polls: one for each service, made anew where their credentials are refused."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from scheduler.aws.clients import Clients, local_endpoint, open_session, polling_clients
from scheduler.aws.clock_skew import ClockSkew
from tests.backends import local_environment

SKEW = ClockSkew(lambda: 0)


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Let the environment lead to no cloud, and to credentials in a file; gives the file."""
    file = tmp_path / "credentials"
    for name, value in local_environment("http://127.0.0.1:1").items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_PROFILE", "default")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    write(file, "first")
    return file


def write(file: Path, key: str) -> None:
    file.write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = secret\n", "utf-8")


@pytest.fixture
async def clients(nowhere: Path) -> AsyncIterator[Clients]:
    assert nowhere
    async with polling_clients(4, 10, SKEW) as opened:
        yield opened


async def key_of(client: Any) -> str:
    held = await client._request_signer._credentials.get_frozen_credentials()
    key: str = held.access_key
    return key


async def test_clients_that_are_made_anew_read_their_credentials_again(clients: Clients, nowhere: Path) -> None:
    assert {await key_of(each) for each in (clients.dynamodb, clients.answers, clients.functions)} == {"first"}
    write(nowhere, "second")
    await clients.renew()
    assert {await key_of(each) for each in (clients.dynamodb, clients.answers, clients.functions)} == {"second"}


def use_key(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key)


async def test_a_call_under_way_ends_on_the_client_that_it_began_with(
    clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients of earlier credentials stay open for as long as their longest call may take."""
    made: list[Any] = [clients.dynamodb]
    for key in ("second", "third"):
        use_key(monkeypatch, key)
        await clients.renew()
        made.append(clients.dynamodb)
    assert len(set(map(id, made))) == len(clients._open) == 3
    clients._outdated = [float("-inf"), float("-inf")]
    use_key(monkeypatch, "fourth")
    await clients.renew()
    assert len(clients._open) == 2


async def test_the_same_credentials_make_no_new_clients(clients: Clients) -> None:
    before = clients.dynamodb
    await clients.renew()
    assert clients.dynamodb is before


async def test_where_clients_cannot_be_made_anew_those_that_there_are_stay(
    clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = clients.dynamodb
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(Exception, match="nobody"):
        await clients.renew()
    assert clients.dynamodb is before
    assert len(clients._open) == 1


async def test_no_client_of_polls_retries_an_answer_or_a_check_by_itself(clients: Clients) -> None:
    tries = {}
    for name in ("dynamodb", "answers", "functions"):
        config: Any = getattr(clients, name).meta.config
        assert config.retries["mode"] == "standard"
        tries[name] = config.retries["total_max_attempts"]
    assert tries == {"dynamodb": 3, "answers": 1, "functions": 1}


async def test_every_wait_of_a_client_of_polls_is_bounded(clients: Clients) -> None:
    waits = [(each.meta.config.connect_timeout, each.meta.config.read_timeout) for each in _all(clients)]
    assert waits == [(1, 3), (1, 3), (1, 10)]
    assert {each.meta.config.max_pool_connections for each in _all(clients)} == {4 + 8}


def _all(clients: Clients) -> list[Any]:
    return [clients.dynamodb, clients.answers, clients.functions]


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:4566", True),
        ("http://[::1]:4566", True),
        ("http://localhost:4566", True),
        ("https://sub.localhost.localstack.cloud:4566", True),
        ("http://localstack:4566", False),
        ("https://dynamodb.eu-west-1.amazonaws.com", False),
        ("http://10.0.0.1", False),
        ("", False),
    ],
)
def test_an_endpoint_is_local_where_it_is_on_this_machine(url: str, *, local: bool) -> None:
    assert local_endpoint({"AWS_ENDPOINT_URL": url}) == (url if local else None)
    assert local_endpoint({}) is None


@pytest.mark.parametrize(
    ("environment", "region"),
    [
        ({"AWS_ENDPOINT_URL": "http://localhost:1"}, "us-east-1"),
        ({"AWS_ENDPOINT_URL": "http://localhost:1", "AWS_REGION": "eu-west-1"}, "eu-west-1"),
        ({"AWS_REGION": "eu-west-1"}, "eu-west-1"),
    ],
    ids=str,
)
def test_a_local_cloud_has_a_region_where_none_is_set(environment: Mapping[str, str], region: str) -> None:
    assert open_session(environment).region_name == region
