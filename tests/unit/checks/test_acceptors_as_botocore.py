"""botocore's own waiters beside our acceptors over the same replies: the verdict is the same."""

import json
from collections import Counter
from functools import cache
from random import Random
from typing import Any

import jmespath
import pytest
from botocore.exceptions import WaiterError
from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, ServiceModel, Shape, StructureShape
from botocore.session import get_session
from botocore.waiter import SingleWaiterConfig, Waiter
from jmespath.exceptions import JMESPathError

from scheduler.checks.aws_replies import AwsReplies
from scheduler.checks.aws_requests import Asked, AwsCall
from scheduler.checks.spec import Acceptor, AskAws, Reading
from scheduler.core.check_replies import Completed, Failed, InProgress, Report
from scheduler.core.service_calls import CallError

_SERVICES = [
    "acm", "acm-pca", "appstream", "autoscaling", "batch", "bedrock-data-automation-runtime", "bedrock-runtime",
    "cloudformation", "cloudfront", "cloudwatch", "codedeploy", "connectcases", "deadline", "dms", "docdb", "dynamodb",
    "ecr", "ecs", "eks", "elasticache", "elasticbeanstalk", "elb", "elbv2", "emr", "emr-containers", "gamelift",
    "glacier", "iam", "imagebuilder", "ivs-realtime", "kinesis", "kms", "lambda", "lexv2-models", "lightsail",
    "machinelearning", "mediaconvert", "medialive", "neptune", "omics", "opsworks", "proton", "rds", "redshift",
    "rekognition", "route53", "s3", "sagemaker", "schemas", "signer", "ses", "smsvoice", "ssm", "ssm-contacts",
    "synthetics", "timestream-influxdb", "transcribe",
]  # fmt: skip
_REPLIES = 60
_NOT_ONE = "no acceptor"


@cache
def _loader() -> Loader:
    loader: Loader = get_session().get_component("data_loader")
    return loader


def _waiters() -> list[Any]:
    found = []
    for service in sorted(set(_SERVICES) & set(_loader().list_available_services("waiters-2"))):
        waiters = _loader().load_service_model(service, "waiters-2")["waiters"]
        found += [pytest.param(service, waiters[name], id=f"{service}-{name}") for name in waiters]
    return found


def _words(node: Any) -> set[str]:
    """Give the names of all fields that an expression mentions."""
    if not isinstance(node, dict):
        return set()
    own = {node["value"]} if node.get("type") == "field" else set()
    return own.union(*(_words(child) for child in node.get("children", ())))


class _Outputs:
    """Makes outputs of an operation that are about what the acceptors look at, and about nothing else."""

    def __init__(self, waiter: dict[str, Any], random: Random) -> None:
        arguments = [each["argument"] for each in waiter["acceptors"] if "argument" in each]
        self._words = set[str]().union(*(_words(jmespath.compile(argument).parsed) for argument in arguments))
        self._texts = [each["expected"] for each in waiter["acceptors"] if isinstance(each["expected"], str)]
        self._random = random

    def of(self, shape: Shape | None) -> Any:
        match shape:
            case StructureShape():
                held = {name: of for name, of in shape.members.items() if name in self._words and name != "Error"}
                return {name: self.of(of) for name, of in held.items() if self._random.random() < 0.9}
            case ListShape():
                return [self.of(shape.member) for _ in range(self._random.choice([0, 1, 1, 2, 3]))]
            case MapShape():
                return {"key": self.of(shape.value)}
        kind = shape.type_name if shape else ""
        if kind == "boolean":
            return self._random.random() < 0.5
        if kind in {"integer", "long", "float", "double"}:
            return self._random.choice([0, 1, 2])
        texts = [*self._texts, *(getattr(shape, "enum", None) or []), "SOMETHING_ELSE"]
        # One text is more likely than any other, so that lists with nothing but that come up.
        return (
            self._random.choice(texts) if self._random.random() < 0.5 else texts[self._random.randrange(2) % len(texts)]
        )


def _replies(service: str, waiter: dict[str, Any], random: Random) -> list[dict[str, Any]]:
    model = ServiceModel(_loader().load_service_model(service, "service-2"), service)
    outputs = _Outputs(waiter, random)
    shape = model.operation_model(waiter["operation"]).output_shape
    statuses = {200, *(each["expected"] for each in waiter["acceptors"] if each["matcher"] == "status")}
    codes = {each["expected"] for each in waiter["acceptors"] if each["matcher"] == "error"} - {True, False}
    replies = [
        {**(outputs.of(shape) or {}), "ResponseMetadata": {"HTTPStatusCode": status}}
        for status in sorted(statuses)
        for _ in range(_REPLIES)
    ]
    return replies + [
        {"Error": {"Code": code, "Message": "as it says"}, "ResponseMetadata": {"HTTPStatusCode": status}}
        for code in sorted(codes | {"SomethingElse", ""})
        for status in sorted({400, *statuses})
    ]


def _of_botocore(waiter: dict[str, Any], reply: dict[str, Any]) -> str:
    config: Any = SingleWaiterConfig(waiter | {"maxAttempts": 1, "delay": 0})
    try:
        Waiter("any", config, lambda **_: reply).wait()
    except JMESPathError:
        return _NOT_ONE
    except WaiterError as error:
        reason = str(error)
        if "Max attempts exceeded" in reason:
            return "retry"
        return "failure" if "terminal failure" in reason else _NOT_ONE
    return "success"


def _of_report(report: Report) -> str:
    match report:
        case InProgress():
            return "retry"
        case Completed():
            return "success"
        case Failed():
            return "failure"
    return _NOT_ONE


_SEEN: Counter[str] = Counter()


@pytest.mark.parametrize(("service", "waiter"), _waiters())
def test_the_verdict_is_botocore_s_own(service: str, waiter: dict[str, Any]) -> None:
    acceptors = [Acceptor(**{key: of for key, of in each.items() if key != "comment"}) for each in waiter["acceptors"]]
    ask = AskAws(service, waiter["operation"])
    ours = AwsReplies(ask, Reading(acceptors=acceptors))
    asked = Asked(AwsCall(service, waiter["operation"], {}), (0,), (frozenset({"job"}),))
    verdicts: Counter[str] = Counter()
    for reply in _replies(service, waiter, Random(json.dumps(waiter, sort_keys=True))):
        given: Any = reply
        if "Error" in reply:
            status = reply["ResponseMetadata"]["HTTPStatusCode"]
            given = CallError(reply["Error"]["Code"], reply["Error"]["Message"], status=status)
        reports = ours.read(asked, given)
        assert isinstance(reports, list)
        expected = _of_botocore(waiter, reply)
        assert (_of_report(reports[0]), reply) == (expected, reply)
        verdicts[expected] += 1
    assert verdicts["success"], "no reply was made that ends the waiting"
    assert verdicts["retry"] or verdicts[_NOT_ONE]


def test_waiters_of_many_services_were_looked_at() -> None:
    assert len(_waiters()) > 150
