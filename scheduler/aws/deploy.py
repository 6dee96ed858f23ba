"""Deploying: tables, roles, functions and the state machine are created or brought up to date, and waited for."""

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from botocore.exceptions import ClientError

from scheduler.assets import asset
from scheduler.aws.arns import place_of
from scheduler.aws.clients import AdminClients
from scheduler.aws.packing import Package, pack
from scheduler.aws.roles import POLICY_NAME, Role, function_role, workflow_role
from scheduler.aws.sdk_errors import is_missing, translated
from scheduler.aws.token_table import INDEX
from scheduler.core.service_calls import call_error
from scheduler.errors import CloudError
from scheduler.settings import Settings

PURGE_AT = "purgeAt"
RUNTIME = "python3.13"
_MARK = "Made by callback-scheduler deploy: "
_MEMORY_MB = 256
_USABLE_SECONDS = 300.0
"""Longest wait for one resource to become usable: LocalStack may have to pull an image for a function's first start."""
_ROLE_SECONDS = 60.0
"""Longest wait until a new role may be used; on AWS that takes about ten seconds."""
_LOOK_EVERY_SECONDS = 0.25

Action = Literal["created", "updated", "unchanged", "left alone"]
"""Left alone: a function of this name is there and somebody else made it; `deploy` never overwrites such a one."""


@dataclass(frozen=True, slots=True)
class Deployed:
    """What was done for one resource."""

    kind: str
    name: str
    action: Action


@dataclass(frozen=True, slots=True)
class Function:
    """A function as it should be."""

    name: str
    folder: str
    timeout_seconds: int
    environment: dict[str, str]
    core: bool

    @property
    def handler(self) -> str:
        """Give the handler: each folder holds one module of the folder's name."""
        return f"{self.folder.replace('-', '_')}.handler"


def functions(settings: Settings) -> list[Function]:
    """Give the three functions as the settings want them."""
    create_job = {
        "SCHEDULER_TOKEN_TABLE": settings.token_table,
        "SCHEDULER_SHARDS": str(settings.shards),
        "SCHEDULER_SIMULATED_API_FUNCTION": settings.simulated_api_function,
    }
    poller = {
        "SCHEDULER_TOKEN_TABLE": settings.token_table,
        "SCHEDULER_SHARDS": str(settings.shards),
        "SCHEDULER_SOURCE_FUNCTION": settings.source_function,
        "SCHEDULER_INTERVAL_SECONDS": f"{settings.poll_seconds:g}",
        "SCHEDULER_CHECK_TIMEOUT_SECONDS": f"{settings.check_timeout_seconds:g}",
        "SCHEDULER_RETENTION_DAYS": f"{settings.retention_days:g}",
    }
    simulated_api = {"SCHEDULER_JOBS_TABLE": settings.jobs_table}
    return [
        # The simulated API takes up to a minute to answer where it is told to be slow.
        Function(settings.simulated_api_function, "simulated-api", 70, simulated_api, core=False),
        Function(settings.create_job_function, "create-job", 60, create_job, core=True),
        Function(settings.poller_function, "poller", math.ceil(settings.invoke_seconds), poller, core=True),
    ]


def definition(settings: Settings) -> dict[str, Any]:
    """Give the state machine's definition with the name of the function that creates jobs put in."""
    text = asset("state-machine", "definition.json").read_text("utf-8")
    machine: dict[str, Any] = json.loads(text)
    machine["States"]["CreateJobAndWait"]["Parameters"]["FunctionName"] = settings.create_job_function
    return machine


async def deploy(clients: AdminClients, settings: Settings) -> AsyncIterator[Deployed]:
    """Create or update everything, one resource after the other, each waited for. Raises CloudError."""
    place = await place_of(clients)
    yield await deploy_table(clients, settings.token_table, indexed=True)
    yield await deploy_table(clients, settings.jobs_table, indexed=False)
    roles: list[str] = []
    for role in (function_role(settings, place), workflow_role(settings, place)):
        arn, done = await _role(clients, role)
        roles.append(arn)
        yield done
    for function in functions(settings):
        yield await _function(clients, function, roles[0])
    yield await _state_machine(clients, settings, place.state_machine(settings.state_machine), roles[1])


async def deploy_table(clients: AdminClients, name: str, *, indexed: bool) -> Deployed:
    """Create a table keyed by jobId, or add what it lacks, and wait for it. Raises CloudError."""
    client = clients.dynamodb
    index: Any = {
        "IndexName": INDEX,
        "KeySchema": [
            {"AttributeName": "dueShard", "KeyType": "HASH"},
            {"AttributeName": "nextPollAt", "KeyType": "RANGE"},
        ],
        # Keys only: the index is written with every claim, and the token has no place in a second copy.
        "Projection": {"ProjectionType": "KEYS_ONLY"},
    }
    attributes: list[Any] = [{"AttributeName": "jobId", "AttributeType": "S"}]
    if indexed:
        attributes += [{"AttributeName": name, "AttributeType": "N"} for name in ("dueShard", "nextPollAt")]
    more: Any = {"GlobalSecondaryIndexes": [index]} if indexed else {}
    action: Action = "unchanged"
    with translated("table", name):
        try:
            table: Any = (await client.describe_table(TableName=name))["Table"]
        except ClientError as error:
            if not is_missing(error):
                raise
            action = "created"
            await client.create_table(
                TableName=name,
                BillingMode="PAY_PER_REQUEST",
                KeySchema=[{"AttributeName": "jobId", "KeyType": "HASH"}],
                AttributeDefinitions=attributes,
                **more,
            )
        else:
            if [key["AttributeName"] for key in table["KeySchema"]] != ["jobId"]:
                message = f"table {name} exists with another key than jobId; name another one"
                raise CloudError(message)
            names = {index["IndexName"] for index in table.get("GlobalSecondaryIndexes", [])}
            if indexed and INDEX not in names:
                action = "updated"
                if table.get("BillingModeSummary", {}).get("BillingMode") != "PAY_PER_REQUEST":
                    throughput = table["ProvisionedThroughput"]
                    index["ProvisionedThroughput"] = {
                        name: throughput[name] for name in ("ReadCapacityUnits", "WriteCapacityUnits")
                    }
                await client.update_table(
                    TableName=name, AttributeDefinitions=attributes, GlobalSecondaryIndexUpdates=[{"Create": index}]
                )

        async def usable() -> bool:
            table: Any = (await client.describe_table(TableName=name))["Table"]
            states = [table["TableStatus"], *(i["IndexStatus"] for i in table.get("GlobalSecondaryIndexes", []))]
            return set(states) == {"ACTIVE"}

        await _until(usable, f"table {name}")
        if indexed and await _turned_on_purging(clients, name) and action == "unchanged":
            action = "updated"
    return Deployed("table", name, action)


async def _turned_on_purging(clients: AdminClients, name: str) -> bool:
    """Let DynamoDB delete ended rows once their purgeAt has passed; tells whether that was a change."""
    held = (await clients.dynamodb.describe_time_to_live(TableName=name))["TimeToLiveDescription"]
    if held.get("TimeToLiveStatus") in {"ENABLED", "ENABLING"}:
        return False
    specification: Any = {"Enabled": True, "AttributeName": PURGE_AT}
    await clients.dynamodb.update_time_to_live(TableName=name, TimeToLiveSpecification=specification)
    return True


async def _role(clients: AdminClients, role: Role) -> tuple[str, Deployed]:
    client = clients.iam
    action: Action = "unchanged"
    with translated("role", role.name):
        try:
            held: Any = (await client.get_role(RoleName=role.name))["Role"]
        except ClientError as error:
            if call_error(error).code != "NoSuchEntity":
                raise
            action = "created"
            held = (await client.create_role(RoleName=role.name, AssumeRolePolicyDocument=json.dumps(role.trust())))[
                "Role"
            ]
        if _document(held["AssumeRolePolicyDocument"]) != role.trust():
            action = "updated"
            await client.update_assume_role_policy(RoleName=role.name, PolicyDocument=json.dumps(role.trust()))
        try:
            policy: Any = (await client.get_role_policy(RoleName=role.name, PolicyName=POLICY_NAME))["PolicyDocument"]
        except ClientError as error:
            if call_error(error).code != "NoSuchEntity":
                raise
            policy = None
        if _document(policy) != role.policy():
            action = "updated" if action == "unchanged" else action
            await client.put_role_policy(
                RoleName=role.name, PolicyName=POLICY_NAME, PolicyDocument=json.dumps(role.policy())
            )
    return held["Arn"], Deployed("role", role.name, action)


def _document(held: Any) -> Any:
    return json.loads(held) if isinstance(held, str) else held


async def _function(clients: AdminClients, function: Function, role: str) -> Deployed:
    client = clients.functions
    package = pack(function.folder, core=function.core)
    wanted: dict[str, Any] = {
        "Runtime": RUNTIME,
        "Handler": function.handler,
        "Role": role,
        "Timeout": function.timeout_seconds,
        "MemorySize": _MEMORY_MB,
        "Description": f"{_MARK}{function.folder}",
        "Environment": {"Variables": function.environment},
    }
    action: Action = "unchanged"

    async def usable() -> bool:
        held = await client.get_function_configuration(FunctionName=function.name)
        if held.get("State") == "Failed" or held.get("LastUpdateStatus") == "Failed":
            reason = held.get("StateReason") or held.get("LastUpdateStatusReason")
            message = f"function {function.name} does not start: {reason}"
            raise CloudError(message)
        return held.get("State", "Active") == "Active" and held.get("LastUpdateStatus", "Successful") == "Successful"

    with translated("function", function.name):
        try:
            held: Any = await client.get_function_configuration(FunctionName=function.name)
        except ClientError as error:
            if not is_missing(error):
                raise
            action = "created"
            await _with_new_role(lambda: _create(clients, function.name, package, wanted))
        else:
            if not str(held.get("Description", "")).startswith(_MARK):
                return Deployed("function", function.name, "left alone")
            changed = {name: value for name, value in wanted.items() if held.get(name) != value}
            if changed:
                action = "updated"
                await _with_new_role(
                    lambda: client.update_function_configuration(FunctionName=function.name, **changed)
                )
                await _until(usable, f"function {function.name}")
            if held.get("CodeSha256") != package.code_sha256:
                action = "updated"
                await client.update_function_code(FunctionName=function.name, ZipFile=package.content)
        await _until(usable, f"function {function.name}")
    return Deployed("function", function.name, action)


async def _create(clients: AdminClients, name: str, package: Package, wanted: dict[str, Any]) -> None:
    await clients.functions.create_function(FunctionName=name, Code={"ZipFile": package.content}, **wanted)


async def _state_machine(clients: AdminClients, settings: Settings, arn: str, role: str) -> Deployed:
    client = clients.stepfunctions
    wanted = definition(settings)
    text = json.dumps(wanted)
    action: Action = "unchanged"
    with translated("state machine", settings.state_machine):
        try:
            held = await client.describe_state_machine(stateMachineArn=arn)
        except ClientError as error:
            if not is_missing(error):
                raise
            action = "created"
            await _with_new_role(
                lambda: client.create_state_machine(name=settings.state_machine, definition=text, roleArn=role)
            )
        else:
            if json.loads(held["definition"]) != wanted or held["roleArn"] != role:
                action = "updated"
                await client.update_state_machine(stateMachineArn=arn, definition=text, roleArn=role)

        async def usable() -> bool:
            held = await client.describe_state_machine(stateMachineArn=arn)
            return held.get("status", "ACTIVE") == "ACTIVE"

        await _until(usable, f"state machine {settings.state_machine}")
    return Deployed("state machine", settings.state_machine, action)


async def _with_new_role(request: Callable[[], Awaitable[Any]]) -> None:
    """Make a request that names a role; a role that was just made is refused until AWS has spread it."""
    deadline = time.monotonic() + _ROLE_SECONDS
    while True:
        try:
            await request()
        except ClientError as error:
            unknown_yet = "assume" in str(error) and call_error(error).code in {
                "InvalidParameterValueException",
                "AccessDeniedException",
            }
            if not unknown_yet or time.monotonic() > deadline:
                raise
            await asyncio.sleep(2)
        else:
            return


async def _until(usable: Callable[[], Awaitable[bool]], what: str) -> None:
    deadline = time.monotonic() + _USABLE_SECONDS
    while not await usable():
        if time.monotonic() > deadline:
            message = f"{what} is not usable after {_USABLE_SECONDS:g} s"
            raise CloudError(message)
        await asyncio.sleep(_LOOK_EVERY_SECONDS)
