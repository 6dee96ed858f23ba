"""boto3's clients for the sources: one for each service, region, role and time-out, made once."""

import threading
from collections.abc import Callable
from typing import Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.credentials import (
    AssumeRoleCredentialFetcher,
    CredentialProvider,
    CredentialResolver,
    DeferredRefreshableCredentials,
)

from scheduler.core.timing import POLLER_THREADS

_SESSION_NAME = "callback-scheduler"


class _AssumedRole(CredentialProvider):
    """Gives the credentials of a role, which are assumed anew before they run out."""

    METHOD = "assume-role"

    def __init__(self, fetch: Callable[[], Any]) -> None:
        self._fetch = fetch

    def load(self) -> Any:
        return DeferredRefreshableCredentials(refresh_using=self._fetch, method=self.METHOD)


class AwsClients:
    """Makes clients, in the region of the function where no other one is named."""

    def __init__(self) -> None:
        """Make nothing yet."""
        self._sessions: dict[str | None, boto3.Session] = {}
        self._clients: dict[tuple[str, str | None, str | None, float], Any] = {}
        self._lock = threading.Lock()  # making one is not for two threads at once

    def client(self, service: str, region: str | None, role_arn: str | None, seconds: float) -> Any:
        """Give a client whose calls are sent once and take no longer than so many seconds to be answered."""
        key = (service, region, role_arn, seconds)
        with self._lock:
            return self._known(key)

    def session(self, role_arn: str | None) -> boto3.Session:
        """Give a session with the function's own credentials, or with those of a role that it may assume."""
        with self._lock:
            return self._session(role_arn)

    def _known(self, key: tuple[str, str | None, str | None, float]) -> Any:
        service, region, role_arn, seconds = key
        if key not in self._clients:
            retries: Any = {"mode": "standard", "total_max_attempts": 1}
            config = Config(
                connect_timeout=min(1, seconds),
                read_timeout=seconds,
                retries=retries,
                max_pool_connections=POLLER_THREADS,
            )
            make: Any = self._session(role_arn).client  # typed by one overload for each service of AWS
            self._clients[key] = make(service, region_name=region, config=config)
        return self._clients[key]

    def _session(self, role_arn: str | None) -> boto3.Session:
        if role_arn not in self._sessions:
            self._sessions[role_arn] = boto3.Session() if role_arn is None else self._assumed(role_arn)
        return self._sessions[role_arn]

    def _assumed(self, role_arn: str) -> boto3.Session:
        own = botocore.session.Session()
        fetcher = AssumeRoleCredentialFetcher(
            client_creator=own.create_client,
            source_credentials=own.get_credentials(),
            role_arn=role_arn,
            extra_args={"RoleSessionName": _SESSION_NAME},
        )
        assumed = botocore.session.Session()
        provider = _AssumedRole(fetcher.fetch_credentials)
        assumed.register_component("credential_provider", CredentialResolver([provider]))
        return boto3.Session(botocore_session=assumed, region_name=own.get_config_variable("region"))
