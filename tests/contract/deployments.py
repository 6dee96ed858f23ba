"""Deployments on the embedded cloud, each with names of its own."""

import json
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from scheduler.aws.clients import AdminClients, admin_clients
from scheduler.aws.deploy import Deployed, deploy, deploy_without_lambda
from scheduler.settings import Settings

HOME, ABROAD = "us-east-1", "eu-central-1"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
ANOTHER = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}
)


def names(prefix: str | None = None, **more: Any) -> Settings:
    """Give the settings of a deployment with names of its own."""
    prefix = prefix or f"d{uuid.uuid4().hex[:8]}"
    return Settings.load(
        **{
            "token_table": f"{prefix}-tokens",
            "jobs_table": f"{prefix}-jobs",
            "source_function": f"{prefix}-api",
            "simulated_api_function": f"{prefix}-api",
            "create_job_function": f"{prefix}-create",
            "poller_function": f"{prefix}-poller",
            "state_machine": f"{prefix}-flow",
        }
        | more
    )


async def deployed(settings: Settings, *, without_lambda: bool = False) -> dict[str, Deployed]:
    """Deploy, and give what was done for each resource."""
    deploy_all = deploy_without_lambda if without_lambda else deploy
    async with admin_clients() as clients:
        return {f"{done.kind} {done.name}": done async for done in deploy_all(clients, settings)}


def actions(done: dict[str, Deployed]) -> set[str]:
    return {each.action for each in done.values()}


def roles(done: dict[str, Deployed]) -> list[str]:
    return [each.name for each in done.values() if each.kind == "role"]


async def with_clients(work: Callable[[AdminClients], Awaitable[Any]]) -> Any:
    async with admin_clients() as clients:
        return await work(clients)


async def rights(role_names: list[str]) -> dict[str, Any]:
    """Read who may take each role, and what it allows."""

    async def read(clients: AdminClients) -> dict[str, Any]:
        held: dict[str, Any] = {}
        for name in role_names:
            role: Any = (await clients.iam.get_role(RoleName=name))["Role"]
            policies = (await clients.iam.list_role_policies(RoleName=name))["PolicyNames"]
            allowed = [await clients.iam.get_role_policy(RoleName=name, PolicyName=policy) for policy in policies]
            held[name] = (role["AssumeRolePolicyDocument"], [each["PolicyDocument"] for each in allowed])
        return held

    read_rights: dict[str, Any] = await with_clients(read)
    return read_rights


async def role_of(function: str) -> str:
    async def read(clients: AdminClients) -> Any:
        return await clients.functions.get_function_configuration(FunctionName=function)

    role: str = (await with_clients(read))["Role"].rpartition("/")[2]
    return role
