"""Clients of any service: one for each service, region and role, with credentials that are renewed."""

import asyncio
from pathlib import Path

import pytest
from botocore.exceptions import ClientError, NoCredentialsError

from scheduler.aws.api_clients import ApiClients
from scheduler.aws.clients import open_session
from scheduler.checks.spec import AskAws
from scheduler.errors import SettingsError
from tests.aws_apis import ROLE, AwsApis
from tests.unit.aws.api_fixtures import take_keys_away, write_key

GLUE = AskAws("glue", "GetJobRun")
AS_ROLE = AskAws("glue", "GetJobRun", role_arn=ROLE)


async def _ask(clients: ApiClients, ask: AskAws = GLUE) -> None:
    client = await clients.client(ask)
    await client.get_job_run(JobName="x", RunId="y")


async def test_one_client_is_made_for_each_service_region_and_role(clients: ApiClients) -> None:
    asks = [GLUE, AskAws("glue", "GetJob"), AskAws("glue", "x", region="eu-west-1"), AskAws("athena", "x"), AS_ROLE]
    made = await asyncio.gather(*(clients.client(ask) for ask in [*asks, *asks]))
    assert made[:5] == made[5:]
    assert made[0] is made[1]
    assert len(set(map(id, made))) == 4


async def test_each_is_signed_for_its_own_region(clients: ApiClients, apis: AwsApis) -> None:
    apis.say({})
    await _ask(clients)
    await _ask(clients, AskAws("glue", "GetJobRun", region="eu-west-1"))
    assert [asked.region for asked in apis.asked] == ["us-east-1", "eu-west-1"]


async def test_a_call_is_sent_once_however_it_fails(clients: ApiClients, apis: AwsApis) -> None:
    apis.refuse("ThrottlingException")
    with pytest.raises(ClientError):
        await _ask(clients)
    assert len(apis.asked) == 1


async def test_a_role_is_assumed_once_for_all_its_clients(clients: ApiClients, apis: AwsApis) -> None:
    apis.say({})
    elsewhere = AskAws("glue", "GetJobRun", region="eu-west-1", role_arn=ROLE)
    await asyncio.gather(*(_ask(clients, ask) for ask in [AS_ROLE, elsewhere, AS_ROLE]))
    assert [asked.key for asked in apis.asked] == ["ROLE1"] * 3
    assert apis.assumed == ["ROLE1"]


async def test_a_role_is_assumed_again_before_its_credentials_expire(clients: ApiClients, apis: AwsApis) -> None:
    apis.say({})
    apis.role_seconds = 60
    await _ask(clients, AS_ROLE)
    apis.role_seconds = 3600
    await _ask(clients, AS_ROLE)
    await _ask(clients, AS_ROLE)
    assert apis.assumed == ["ROLE1", "ROLE2"]
    assert [asked.key for asked in apis.asked] == ["ROLE1", "ROLE2", "ROLE2"]


async def test_a_role_whose_credentials_are_refused_is_assumed_again(clients: ApiClients, apis: AwsApis) -> None:
    apis.say({})
    await _ask(clients, AS_ROLE)
    before = await clients.client(AS_ROLE)
    await clients.refused(AS_ROLE, before)
    await _ask(clients, AS_ROLE)
    assert [asked.key for asked in apis.asked] == ["ROLE1", "ROLE2"]
    await clients.refused(AS_ROLE, before)  # the refusal of a check that began on the old client
    await _ask(clients, AS_ROLE)
    assert apis.assumed == ["ROLE1", "ROLE2"]


async def test_a_role_that_is_denied_is_told_with_each_call_and_works_once_it_is_not(
    clients: ApiClients, apis: AwsApis
) -> None:
    apis.say({})
    apis.role_denied = True
    for _ in range(2):
        with pytest.raises(ClientError, match="AccessDenied"):
            await _ask(clients, AS_ROLE)
    apis.role_denied = False
    await _ask(clients, AS_ROLE)
    assert apis.assumed == ["ROLE1"]


async def test_credentials_that_were_refused_are_read_again(clients: ApiClients, apis: AwsApis, keys: Path) -> None:
    apis.say({})
    await _ask(clients)
    before = await clients.client(GLUE)
    await clients.refused(GLUE, before)
    assert await clients.client(GLUE) is before, "they are the same ones"
    write_key(keys, "SECOND")
    await clients.refused(GLUE, before)
    await _ask(clients)
    assert [asked.key for asked in apis.asked] == ["FIRST", "SECOND"]
    await before.get_job_run(JobName="x", RunId="y")  # what is under way ends on the old one


async def test_clients_that_no_check_can_be_on_are_closed(apis: AwsApis, keys: Path) -> None:
    apis.say({})
    now = 0.0
    clients = ApiClients(4, 5.0, monotonic=lambda: now)
    for time, key in ((0.0, "SECOND"), (100.0, "THIRD")):
        now = time
        before = await clients.client(GLUE)
        write_key(keys, key)
        await clients.refused(GLUE, before)
    assert len(clients._outdated) == 1
    await clients.aclose()


async def test_without_credentials_a_role_says_so(clients: ApiClients, keys: Path) -> None:
    take_keys_away(keys)
    with pytest.raises(NoCredentialsError):
        await clients.client(AS_ROLE)
    write_key(keys, "FIRST")
    assert await clients.client(AS_ROLE)


async def test_without_a_region_the_line_says_what_to_set(clients: ApiClients, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://clouds.example.com")
    with pytest.raises(SettingsError, match="no AWS region is set"):
        await clients.client(GLUE)
    assert await clients.client(AskAws("glue", "GetJobRun", region="eu-west-1"))


async def test_the_clients_of_all_sources_hold_the_models_of_aws_once(apis: AwsApis) -> None:
    apis.say({})
    loaders = set()
    for _ in range(2):
        session = open_session()
        each = ApiClients(4, 2.0, session=lambda: session)  # noqa: B023  called within this turn
        await _ask(each)
        loaders.add(id(session._session.get_component("data_loader")))
        await each.aclose()
    assert len(loaders) == 1
