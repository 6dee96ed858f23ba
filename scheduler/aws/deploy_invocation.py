"""Deploying how a function is invoked: its queue of events, and the concurrency that is kept for it."""

from collections.abc import AsyncIterator
from typing import Any

from botocore.exceptions import ClientError

from scheduler.aws.clients import AdminClients
from scheduler.aws.deploy_functions import Function
from scheduler.aws.deployed import Deployed
from scheduler.aws.sdk_errors import is_missing, translated
from scheduler.core.service_calls import call_error

_NO_SUCH_CALL = frozenset({404, 405, 501})
"""How a cloud says that it does not know a call; where the function is there, AWS gives none of these statuses."""


async def deploy_invocation(clients: AdminClients, function: Function) -> AsyncIterator[Deployed]:
    """Bring up to date what the settings say of a function's invocation, and nothing else. Raises CloudError."""
    if function.event_age_seconds is not None:
        yield await _event_queue(clients, function.name, function.event_age_seconds)
    if function.concurrency is not None:
        yield await _concurrency(clients, function.name, function.concurrency)


async def _event_queue(clients: AdminClients, name: str, age_seconds: int) -> Deployed:
    """Let no event be tried twice, for the daemon finds again what was not polled, and none wait longer than that."""
    client: Any = clients.functions
    wanted = {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": age_seconds}
    with translated("function", name):
        try:
            held = await client.get_function_event_invoke_config(FunctionName=name)
        except ClientError as error:
            if not _unknown(error):
                raise
            held = {}
        changes = [key for key, value in wanted.items() if held.get(key) != value]
        try:
            # What else is held there, such as a destination, is its owner's.
            if changes:
                call = client.update_function_event_invoke_config if held else client.put_function_event_invoke_config
                await call(FunctionName=name, **wanted)
        except ClientError as error:
            return _left_alone("event queue", name, error)
    return Deployed.found("event queue", name, changes)


async def _concurrency(clients: AdminClients, name: str, concurrency: int) -> Deployed:
    client: Any = clients.functions
    with translated("function", name):
        try:
            held = await client.get_function_concurrency(FunctionName=name)
            changed = held.get("ReservedConcurrentExecutions") != concurrency
            if changed:
                await client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=concurrency)
        except ClientError as error:
            return _left_alone("reserved concurrency", name, error)
    return Deployed.found("reserved concurrency", name, [str(concurrency)] if changed else [])


def _left_alone(kind: str, name: str, error: ClientError) -> Deployed:
    if not _unknown(error):
        raise error
    return Deployed(kind, name, "left alone", f"this cloud does not know the call: {call_error(error).code}")


def _unknown(error: ClientError) -> bool:
    return is_missing(error) or call_error(error).status in _NO_SUCH_CALL
