"""Clients of any service of AWS, for sources: one for each service, region and role, made when it is first needed."""

import asyncio
import functools
import os
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import aioboto3
from aiobotocore.config import AioConfig
from aiobotocore.credentials import AioAssumeRoleCredentialFetcher, AioDeferredRefreshableCredentials
from aiobotocore.session import AioSession
from botocore.exceptions import BotoCoreError, NoCredentialsError
from botocore.loaders import Loader, create_loader

from scheduler.aws.clients import open_session
from scheduler.aws.environment import not_opened
from scheduler.aws.name_lookup import TimedResolver
from scheduler.aws.sdk_errors import SDK_ERRORS
from scheduler.aws.whereabouts import note_whereabouts
from scheduler.checks.spec import AskAws

_CONNECT_SECONDS = 1.0
_ROLE_SECONDS = 5.0
"""The longest that STS may take to reply where a role is assumed."""
_SPARE_SECONDS = 30.0
_ROLE_SESSION = "callback-scheduler"

Key = tuple[str, str | None, str | None]


@dataclass(slots=True)
class _Open:
    """A client that is open, and how it is closed."""

    client: Any
    stack: AsyncExitStack


@dataclass(slots=True)
class _Account:
    """A session with the credentials of one role, or with the process's own."""

    session: aioboto3.Session
    known: object = None
    clients: dict[Key, _Open] = field(default_factory=dict)


class ApiClients:
    """The clients that sources need. None of them retries by itself: a check is sent once."""

    def __init__(
        self,
        slots: int,
        check_seconds: float,
        *,
        session: Callable[[], aioboto3.Session] = open_session,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take how many checks of one source go on at once, and the longest that one may take."""
        self._slots = slots
        self._seconds = check_seconds
        self._session = session
        self._monotonic = monotonic
        self._accounts: dict[str | None, _Account] = {}
        self._outdated: list[tuple[float, _Open]] = []
        self._making = asyncio.Lock()
        self._resolver = TimedResolver()

    async def client(self, ask: AskAws) -> Any:
        """Give the client to ask with now. Raises SchedulerError or an error of the SDK where none can be made."""
        key = ask.service, ask.region, ask.role_arn
        account = self._accounts.get(ask.role_arn)
        if account and key in account.clients:
            return account.clients[key].client
        async with self._making:
            account = await self._account(ask.role_arn)
            if key not in account.clients:
                account.clients[key] = await self._opened(account.session, ask.service, ask.region)
            return account.clients[key].client

    async def credentials(self, ask: AskAws) -> None:
        """See that there are credentials to ask with, of the role where there is one. Raises errors of the SDK."""
        async with self._making:
            account = await self._account(ask.role_arn)
        await _frozen(account.session)

    async def frozen(self, role_arn: str | None) -> Any:
        """Give credentials to sign with, of a role or the process's own. Raises errors of the SDK."""
        async with self._making:
            account = await self._account(role_arn)
        return await _frozen(account.session)

    async def refused(self, ask: AskAws, client: Any) -> None:
        """Make the clients of an account anew with the next check, where credentials were refused and are others now.

        Checks under way end on the old ones. A role is assumed again.
        """
        async with self._making:
            account = self._accounts.get(ask.role_arn)
            if account is None or all(each.client is not client for each in account.clients.values()):
                return  # they are new ones already
            if ask.role_arn is None and await _known(self._session()) == account.known:
                return
            del self._accounts[ask.role_arn]
            self._outdated += [(self._monotonic(), each) for each in account.clients.values()]
            await self._close_outdated()

    async def aclose(self) -> None:
        """Close all that is open."""
        every = [each for account in self._accounts.values() for each in account.clients.values()]
        every += [each for _, each in self._outdated]
        self._accounts, self._outdated = {}, []
        for each in every:
            await each.stack.aclose()

    async def _account(self, role_arn: str | None) -> _Account:
        account = self._accounts.get(role_arn)
        if account is None:
            session = self._session()
            if role_arn is None:
                account = _Account(session, await _known(session))
            else:
                account = _Account(await self._with_role(session, role_arn))
            self._accounts[role_arn] = account
        return account

    async def _with_role(self, session: aioboto3.Session, role_arn: str) -> aioboto3.Session:
        """Give a session whose credentials are those of a role, assumed when they are needed and before they expire."""
        own: Any = await session.get_credentials()  # type: ignore[misc]  # typed as boto3's own, which is no coroutine
        if own is None:
            raise NoCredentialsError
        make: Any = session.client
        fetcher = AioAssumeRoleCredentialFetcher(
            partial(make, config=self._config(_ROLE_SECONDS)),
            own,
            role_arn,
            extra_args={"RoleSessionName": _ROLE_SESSION},
        )
        assumed = AioDeferredRefreshableCredentials(fetcher.fetch_credentials, "assume-role")
        inner = AioSession()
        inner.register_component("credential_provider", _Assumed(assumed))
        made = aioboto3.Session(botocore_session=inner, region_name=session.region_name)
        made.events.register("creating-client-class", note_whereabouts)
        return made

    async def _opened(self, session: aioboto3.Session, service: str, region: str | None) -> _Open:
        _share_models(session)
        make: Any = session.client  # typed by one overload for each service of AWS, and called with a variable
        stack = AsyncExitStack()
        try:
            client = await stack.enter_async_context(
                make(service, region_name=region, config=self._config(self._seconds))
            )
        except (BotoCoreError, ValueError) as error:
            await stack.aclose()
            raise not_opened(error, os.environ) from error
        except BaseException:
            await stack.aclose()
            raise
        return _Open(client, stack)

    def _config(self, read_seconds: float) -> AioConfig:
        return AioConfig(
            connector_args={"resolver": self._resolver},
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=read_seconds,
            max_pool_connections=self._slots,
            retries={"mode": "standard", "total_max_attempts": 1},
            tcp_keepalive=True,
        )

    async def _close_outdated(self) -> None:
        """Close the clients that no check can be on any more."""
        while self._outdated and self._monotonic() - self._outdated[0][0] > self._seconds + _SPARE_SECONDS:
            await self._outdated.pop(0)[1].stack.aclose()


def _share_models(session: aioboto3.Session) -> None:
    """Let a session read AWS's models where all others do: by itself each client would hold 12 MB of them."""
    inner: Any = session._session  # noqa: SLF001  aioboto3 has no other way to it
    inner.register_component("data_loader", _loader(inner.get_config_variable("data_path")))


@functools.cache
def _loader(data_path: str | None) -> Loader:
    return create_loader(data_path)


class _Assumed:
    """Where a session finds the credentials of its role; the SDK's own providers are not asked."""

    def __init__(self, credentials: AioDeferredRefreshableCredentials) -> None:
        self._credentials = credentials

    async def load_credentials(self) -> AioDeferredRefreshableCredentials:
        return self._credentials


async def _frozen(session: aioboto3.Session) -> object:
    """Read a session's credentials; a role is assumed for that. Raises errors of the SDK."""
    found: Any = await session.get_credentials()  # type: ignore[misc]  # likewise
    if found is None:
        raise NoCredentialsError
    return await found.get_frozen_credentials()


async def _known(session: aioboto3.Session) -> object:
    """Read a session's credentials, to compare them; None where there are none or none that can be read."""
    try:
        return await _frozen(session)
    except SDK_ERRORS:
        return None
