"""Making the sources of the poller Lambda: the default one from its environment, the others from its sources.json."""

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from aws_checks import AwsChecks
from aws_clients import AwsClients
from held_secrets import Secrets
from http_checks import HttpChecks
from http_signing import Authority
from lambda_checks import LambdaChecks
from named_sources import Asks, Sources
from scheduler.checks.source_policies import policy_of
from scheduler.checks.spec import AskAws, AskHttp, AskLambda, SourceSpec, spec_of
from scheduler.core.timing import Policy

_PACKED = Path(__file__).with_name("sources.json")
"""What `deploy` packs: the entries, each with its preset or waiter spelt out."""

_SECRET_SECONDS = 4.0
"""The longest that reading a secret may take; it usually takes under 0.1 s, once in five minutes."""


def made_sources(check_timeout: float) -> Sources:
    """Give the sources; a check takes `check_timeout` seconds where its source's entry says nothing else."""
    clients = AwsClients()
    secrets = Secrets(lambda service, region: clients.client(service, region, None, _SECRET_SECONDS))

    def make(spec: SourceSpec) -> Asks:
        seconds = spec.limits.timeout_seconds or check_timeout
        match spec.ask:
            case AskLambda(function, batch_size):
                return LambdaChecks(clients.client("lambda", None, None, seconds), function, batch_size)
            case AskAws() as ask:
                client = clients.client(ask.service, ask.region, ask.role_arn, seconds)
                return AwsChecks(ask, spec.reading, client)
            case AskHttp() as ask:
                return HttpChecks(ask, spec.reading, Authority(ask.auth, secrets, clients.session), seconds)

    default = LambdaChecks(
        clients.client("lambda", None, None, check_timeout),
        os.environ.get("SCHEDULER_SOURCE_FUNCTION", "poc-simulated-api"),
        int(os.environ.get("SCHEDULER_SOURCE_BATCH_SIZE", "1")),
    )
    entries: Mapping[str, Any] = json.loads(_PACKED.read_text("utf-8")) if _PACKED.exists() else {}
    return Sources(default, {name: spec_of(name, entry) for name, entry in entries.items()}, make)


def policies(default: Policy, specs: Mapping[str, SourceSpec], check_timeout: float) -> Policy:
    """Give the default source's policy, with one for each of the others."""
    return replace(
        default, sources={name: policy_of(default, spec.limits, check_timeout) for name, spec in specs.items()}
    )
