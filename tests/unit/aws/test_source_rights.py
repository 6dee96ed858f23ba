"""What the poller Lambda's role may do for its sources: what they need, and nothing else."""

from typing import Any

import pytest

from scheduler.aws.arns import Place
from scheduler.aws.source_rights import not_granted, source_statements

PLACE = Place("aws", "eu-west-1", "123456789012")
ROLE = "arn:aws:iam::210987654321:role/jobs"
SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:"


def rights(**entries: Any) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for statement in source_statements(entries, PLACE):
        assert statement["Effect"] == "Allow"
        for action in statement["Action"]:
            assert action not in found
            found[action] = statement["Resource"]
    return found


def http(**auth: Any) -> dict[str, Any]:
    return {"http": {"url": "https://example.com/{jobId}", "auth": auth}}


def aws(service: str, operation: str, **more: Any) -> dict[str, Any]:
    return {"aws": {"service": service, "operation": operation} | more}


def test_without_sources_there_is_nothing_more() -> None:
    assert source_statements({}, PLACE) == []
    assert rights(a={"http": {"url": "https://example.com/{jobId}"}}) == {}


def test_a_function_may_be_invoked() -> None:
    functions = {"a": {"lambda": {"function": "jobs"}}, "b": {"lambda": {"function": "arn:aws:lambda:x:1:function:y"}}}
    assert rights(**functions) == {
        "lambda:InvokeFunction": [
            "arn:aws:lambda:eu-west-1:123456789012:function:jobs",
            "arn:aws:lambda:x:1:function:y",
        ]
    }


@pytest.mark.parametrize(
    ("auth", "action", "resources"),
    [
        (
            {"bearer": {"secret": "api"}},
            "secretsmanager:GetSecretValue",
            [f"{SECRET}api", f"{SECRET}api-??????"],
        ),
        (
            {"basic": {"username": "u", "password": {"secret": f"{SECRET}api-AbCdEf", "key": "password"}}},
            "secretsmanager:GetSecretValue",
            [f"{SECRET}api-AbCdEf", f"{SECRET}api-AbCdEf-??????"],
        ),
        (
            {"header": {"name": "X-Key", "value": {"parameter": "/jobs/key"}}},
            "ssm:GetParameter",
            ["arn:aws:ssm:eu-west-1:123456789012:parameter/jobs/key"],
        ),
        (
            {"oauth2": {"token_url": "https://x", "client_id": "me", "client_secret": {"parameter": "key"}}},
            "ssm:GetParameter",
            ["arn:aws:ssm:eu-west-1:123456789012:parameter/key"],
        ),
        ({"sigv4": {"service": "execute-api", "role_arn": ROLE}}, "sts:AssumeRole", [ROLE]),
    ],
)
def test_the_secrets_and_roles_that_are_named_and_no_others(
    auth: dict[str, Any], action: str, resources: list[str]
) -> None:
    assert rights(a=http(**auth)) == {action: resources}


@pytest.mark.parametrize(
    ("service", "operation", "action"),
    [
        ("glue", "GetJobRun", "glue:GetJobRun"),
        ("stepfunctions", "DescribeExecution", "states:DescribeExecution"),
        ("emr", "DescribeStep", "elasticmapreduce:DescribeStep"),
        ("s3control", "DescribeJob", "s3:DescribeJob"),
        ("sagemaker", "DescribeTrainingJob", "sagemaker:DescribeTrainingJob"),
        ("bedrock-runtime", "GetAsyncInvoke", "bedrock:GetAsyncInvoke"),
        ("bedrock-data-automation-runtime", "GetDataAutomationStatus", "bedrock:GetDataAutomationStatus"),
        ("cloudwatch", "DescribeAlarms", "cloudwatch:DescribeAlarms"),
        ("s3", "HeadObject", "s3:GetObject"),
        ("lambda", "Invoke", "lambda:InvokeFunction"),
        ("docdb", "DescribeDBClusters", "rds:DescribeDBClusters"),
    ],
)
def test_an_operation_is_allowed_by_the_name_that_iam_has_for_it(service: str, operation: str, action: str) -> None:
    assert rights(a=aws(service, operation)) == {action: ["*"]}


def test_where_a_role_is_assumed_its_own_rights_count() -> None:
    assert rights(a=aws("glue", "GetJobRun", role_arn=ROLE)) == {"sts:AssumeRole": [ROLE]}


def test_what_is_allowed_on_the_same_is_one_statement() -> None:
    statements = source_statements({"b": aws("glue", "GetJobRun"), "a": aws("athena", "GetQueryExecution")}, PLACE)
    assert statements == [
        {"Effect": "Allow", "Action": ["athena:GetQueryExecution", "glue:GetJobRun"], "Resource": ["*"]}
    ]


def test_what_cannot_be_reckoned_is_left_to_a_person_and_told() -> None:
    signed, odd = http(sigv4={"service": "execute-api"}), aws("apigateway", "GetRestApi")
    assert rights(a=signed, b=odd) == {}
    assert not_granted(signed) == "let the poller's role call what it signs for: execute-api"
    assert not_granted(odd) == ("let the poller's role call apigateway GetRestApi: IAM names its actions differently")
    assert not_granted(aws("glue", "GetJobRun")) is None
    assert not_granted(aws("apigateway", "GetRestApi", role_arn=ROLE)) is None
    assert not_granted({"lambda": {"function": "jobs"}}) is None
