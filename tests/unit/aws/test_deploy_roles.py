"""Roles of the version before, where one may not read them."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from scheduler.aws.clients import AdminClients
from scheduler.aws.deploy_roles import earlier_roles
from scheduler.errors import CloudError
from scheduler.settings import Settings
from tests.unit.lambdas.lambda_fakes import client_error


class Iam:
    """IAM that refuses every reading with a code."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.asked: list[str] = []

    async def get_role_policy(self, *, RoleName: str, PolicyName: str) -> Any:  # noqa: N803
        self.asked.append(f"{RoleName}/{PolicyName}")
        raise client_error(self.code)


async def told(iam: Iam) -> list[str]:
    clients = cast("AdminClients", SimpleNamespace(iam=iam))
    return [done.name async for done in earlier_roles(clients, Settings.load())]


@pytest.mark.parametrize("code", ["AccessDenied", "NoSuchEntity"])
async def test_roles_that_are_not_there_or_may_not_be_read_stop_nothing(code: str) -> None:
    iam = Iam(code)
    assert await told(iam) == []
    assert iam.asked == [
        "poc-create-job-functions/callback-scheduler",
        "poc-callback-workflow-workflow/callback-scheduler",
    ]


async def test_anything_else_is_raised() -> None:
    with pytest.raises(CloudError, match="role poc-create-job-functions could not be used: ServiceFailure"):
        await told(Iam("ServiceFailure"))
