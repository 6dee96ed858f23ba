"""Deploying roles: created or brought up to date; those of an earlier version are left to whoever uses them."""

import json
from collections.abc import AsyncIterator
from typing import Any

from botocore.exceptions import ClientError

from scheduler.aws.clients import AdminClients
from scheduler.aws.deployed import Deployed
from scheduler.aws.roles import POLICY_NAME, Role, earlier_names
from scheduler.aws.sdk_errors import translated
from scheduler.core.service_calls import Refusal, call_error
from scheduler.settings import Settings


async def deploy_role(clients: AdminClients, role: Role) -> tuple[str, Deployed]:
    """Create a role or bring it up to date, and give its ARN too. Raises CloudError."""
    client = clients.iam
    changes = []
    with translated("role", role.name):
        try:
            held: Any = (await client.get_role(RoleName=role.name))["Role"]
            created = False
        except ClientError as error:
            if not _absent(error):
                raise
            trust = json.dumps(role.trust())
            held = (await client.create_role(RoleName=role.name, AssumeRolePolicyDocument=trust))["Role"]
            created = True
        if _document(held["AssumeRolePolicyDocument"]) != role.trust():
            await client.update_assume_role_policy(RoleName=role.name, PolicyDocument=json.dumps(role.trust()))
            changes.append("trust")
        if await _policy(clients, role.name) != role.policy():
            policy = json.dumps(role.policy())
            await client.put_role_policy(RoleName=role.name, PolicyName=POLICY_NAME, PolicyDocument=policy)
            changes.append("policy")
    done = Deployed("role", role.name, "created") if created else Deployed.found("role", role.name, changes)
    return held["Arn"], done


async def earlier_roles(clients: AdminClients, settings: Settings) -> AsyncIterator[Deployed]:
    """Name the roles of version 0.1.0 that are still there: another region may live on them. Raises CloudError."""
    note = "made by version 0.1.0, and used no more from here; delete it once no other region uses it"
    for name in earlier_names(settings):
        with translated("role", name):
            try:
                policy = await _policy(clients, name)
            except ClientError as error:
                # Nothing here needs these roles, so that nobody needs the right to read them.
                if call_error(error).refusal is not Refusal.DENIED:
                    raise
                continue
        if policy is not None:
            yield Deployed("role", name, "left alone", note)


async def _policy(clients: AdminClients, role: str) -> Any:
    """Read our policy of a role; None where the role has none, or is not there."""
    try:
        held = await clients.iam.get_role_policy(RoleName=role, PolicyName=POLICY_NAME)
    except ClientError as error:
        if not _absent(error):
            raise
        return None
    return _document(held["PolicyDocument"])


def _absent(error: ClientError) -> bool:
    return call_error(error).code == "NoSuchEntity"


def _document(held: Any) -> Any:
    return json.loads(held) if isinstance(held, str) else held
