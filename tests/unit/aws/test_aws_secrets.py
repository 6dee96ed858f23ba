"""Secrets of AWS, read through the SDK."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from scheduler.aws.secrets import AwsSecrets
from scheduler.core.service_calls import Refusal
from scheduler.errors import CloudError

ARN = "arn:aws:secretsmanager:eu-west-1:000000000000:secret:db-AbCdEf"


class Client:
    def __init__(self, reply: Any) -> None:
        self.reply = reply
        self.asked: list[dict[str, Any]] = []

    async def get_secret_value(self, **parameters: Any) -> Any:
        self.asked.append(parameters)
        if isinstance(self.reply, Exception):
            raise self.reply
        return self.reply

    get_parameter = get_secret_value


class Clients:
    def __init__(self, reply: Any) -> None:
        self.client = Client(reply)
        self.opened: list[tuple[str, str | None]] = []

    async def __call__(self, service: str, region: str | None) -> Any:
        self.opened.append((service, region))
        return self.client


async def test_a_secret_is_read_in_the_region_of_its_arn() -> None:
    clients = Clients({"SecretString": "s3cr3t"})
    assert await AwsSecrets(clients).secret(ARN) == "s3cr3t"
    assert await AwsSecrets(clients).secret("db") == "s3cr3t"
    assert clients.opened == [("secretsmanager", "eu-west-1"), ("secretsmanager", None)]
    assert clients.client.asked == [{"SecretId": ARN}, {"SecretId": "db"}]


async def test_a_parameter_is_decrypted() -> None:
    clients = Clients({"Parameter": {"Value": "s3cr3t"}})
    assert await AwsSecrets(clients).parameter("/jobs/token") == "s3cr3t"
    assert clients.opened == [("ssm", None)]
    assert clients.client.asked == [{"Name": "/jobs/token", "WithDecryption": True}]


async def test_a_secret_of_bytes_is_told_of() -> None:
    with pytest.raises(CloudError, match="secret db holds no text"):
        await AwsSecrets(Clients({"SecretBinary": b"x"})).secret("db")


@pytest.mark.parametrize(
    ("code", "refusal"),
    [
        ("AccessDeniedException", Refusal.DENIED),
        ("ParameterNotFound", Refusal.MISSING),
        ("ResourceNotFoundException", Refusal.MISSING),
        ("ThrottlingException", Refusal.THROTTLED),
    ],
)
async def test_what_aws_says_against_it_is_told_in_its_own_words(code: str, refusal: Refusal) -> None:
    said: Any = {"Error": {"Code": code, "Message": "no"}}
    for read in (AwsSecrets.secret, AwsSecrets.parameter):
        with pytest.raises(CloudError, match=f"db could not be read: {code}: no") as raised:
            await read(AwsSecrets(Clients(ClientError(said, "Read"))), "db")
        assert raised.value.refusal is refusal
