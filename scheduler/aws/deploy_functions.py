"""Deploying functions: created or brought up to date; somebody else's function is never overwritten."""

import math
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from scheduler.aws.clients import AdminClients
from scheduler.aws.deployed import Deployed
from scheduler.aws.packing import pack
from scheduler.aws.poller_sources import NONE, Entries, longest_check_seconds, sources_json
from scheduler.aws.sdk_errors import is_missing, translated
from scheduler.aws.usable import until_usable, with_new_role
from scheduler.errors import CloudError
from scheduler.settings import Settings

RUNTIME = "python3.13"
_MARK = "Made by callback-scheduler deploy: "
_MEMORY_MB = 256
_LEAST_EVENT_AGE_SECONDS = 60  # Lambda takes no less


@dataclass(frozen=True, slots=True)
class Function:
    """A function as it should be; `core` says whether it is packed with the core beside it, `sources` with which ones.

    `event_age_seconds` is how long an event may wait for it, `concurrency` what is kept for it; None leaves them alone.
    """

    name: str
    folder: str
    timeout_seconds: int
    environment: dict[str, str]
    core: bool
    event_age_seconds: int | None = None
    concurrency: int | None = None
    sources: bytes | None = None

    @property
    def handler(self) -> str:
        """Give the handler: each folder holds one module of the folder's name."""
        return f"{self.folder.replace('-', '_')}.handler"

    def configuration(self, role: str) -> dict[str, Any]:
        """Give its configuration as Lambda takes it."""
        return {
            "Runtime": RUNTIME,
            "Handler": self.handler,
            "Role": role,
            "Timeout": self.timeout_seconds,
            "MemorySize": _MEMORY_MB,
            "Description": f"{_MARK}{self.folder}",
            "Environment": {"Variables": self.environment},
        }


def simulated_api(settings: Settings) -> Function:
    """Give the simulated API; it takes up to a minute to answer where it is told to be slow."""
    environment = {"SCHEDULER_JOBS_TABLE": settings.jobs_table}
    return Function(settings.simulated_api_function, "simulated-api", 70, environment, core=False)


def create_job(settings: Settings) -> Function:
    """Give the function that creates jobs."""
    environment = {
        "SCHEDULER_TOKEN_TABLE": settings.token_table,
        "SCHEDULER_SHARDS": str(settings.shards),
        "SCHEDULER_SIMULATED_API_FUNCTION": settings.simulated_api_function,
    }
    return Function(settings.create_job_function, "create-job", 60, environment, core=True)


def poller(settings: Settings, entries: Entries = NONE) -> Function:
    """Give the poller Lambda, which polls by the settings of the daemon, the sources of these entries too."""
    environment = {
        "SCHEDULER_TOKEN_TABLE": settings.token_table,
        "SCHEDULER_SHARDS": str(settings.shards),
        "SCHEDULER_SOURCE_FUNCTION": settings.source_function,
        "SCHEDULER_SOURCE_BATCH_SIZE": str(settings.source_batch_size),
        "SCHEDULER_INTERVAL_SECONDS": f"{settings.poll_seconds:g}",
        "SCHEDULER_CHECK_TIMEOUT_SECONDS": f"{settings.check_timeout_seconds:g}",
        "SCHEDULER_RETENTION_DAYS": f"{settings.retention_days:g}",
    }
    seconds = math.ceil(settings.invoke_seconds_with(longest_check_seconds(settings, entries)))
    # An event that waits for longer than the daemon remembers it would only be a second one for the same jobs.
    age = max(_LEAST_EVENT_AGE_SECONDS, seconds) if settings.lambda_invocation == "event" else None
    return Function(
        settings.poller_function,
        "poller",
        seconds,
        environment,
        core=True,
        event_age_seconds=age,
        concurrency=settings.lambda_concurrency,
        sources=sources_json(entries),
    )


async def held_function(clients: AdminClients, name: str) -> dict[str, Any] | None:
    """Read a function's configuration; None where there is no such function. Raises CloudError."""
    with translated("function", name):
        try:
            return dict(await clients.functions.get_function_configuration(FunctionName=name))
        except ClientError as error:
            if not is_missing(error):
                raise
            return None


def made_by_deploy(held: dict[str, Any]) -> bool:
    """Tell whether `deploy` made a function, by its description."""
    return str(held.get("Description", "")).startswith(_MARK)


async def deploy_function(
    clients: AdminClients, function: Function, held: dict[str, Any] | None, role: str
) -> Deployed:
    """Create a function, or bring the one that is `held` up to date, and wait for it. Raises CloudError."""
    client = clients.functions
    package = pack(function.folder, core=function.core, sources=function.sources)
    wanted = function.configuration(role)
    with translated("function", function.name):
        if held is None:
            code: Any = {"ZipFile": package.content}
            await with_new_role(lambda: client.create_function(FunctionName=function.name, Code=code, **wanted))
            await _until_usable(clients, function.name)
            return Deployed("function", function.name, "created")
        changed = {name: value for name, value in wanted.items() if held.get(name) != value}
        if changed:
            await with_new_role(lambda: client.update_function_configuration(FunctionName=function.name, **changed))
            await _until_usable(clients, function.name)
        outdated = held.get("CodeSha256") != package.code_sha256
        if outdated:
            await client.update_function_code(FunctionName=function.name, ZipFile=package.content)
        await _until_usable(clients, function.name)
    return Deployed.found("function", function.name, [*(["code"] if outdated else []), *changed])


async def _until_usable(clients: AdminClients, name: str) -> None:
    async def usable() -> bool:
        held = await clients.functions.get_function_configuration(FunctionName=name)
        if held.get("State") == "Failed" or held.get("LastUpdateStatus") == "Failed":
            reason = held.get("StateReason") or held.get("LastUpdateStatusReason")
            message = f"function {name} does not start: {reason}"
            raise CloudError(message)
        return held.get("State", "Active") == "Active" and held.get("LastUpdateStatus", "Successful") == "Successful"

    await until_usable(usable, f"function {name}")
