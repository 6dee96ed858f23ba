"""Sources that are operations of AWS's APIs, against an endpoint that says what it is told."""

import socket
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from scheduler.aws.api_clients import ApiClients
from scheduler.aws.api_source import LARGEST_STREAM, AwsSource
from scheduler.checks.spec import Acceptor, AskAws, Batch, Reading
from scheduler.core.check_replies import Completed, InProgress, NotTogether, Report, Unanswered, Unasked
from scheduler.core.service_calls import Refusal
from scheduler.errors import CloudError
from tests.aws_apis import ROLE, AwsApis, error
from tests.fakes import token_row
from tests.unit.aws.api_fixtures import take_keys_away, write_key

_READING = Reading("JobRun.JobRunState", ["RUNNING"], ["SUCCEEDED"], ["FAILED"])
_ASK = AskAws("glue", "GetJobRun", {"JobName": "{input.job}", "RunId": "{jobId}"})
_RUNNING = {"JobRun": {"JobRunState": "RUNNING"}}
_BATCH = AskAws("codebuild", "BatchGetBuilds", {"ids": ["{jobId}"]}, batch=Batch("builds", "id", 3))
_BUILDS = Reading("buildStatus", ["IN_PROGRESS"], ["SUCCEEDED"], ["FAILED"])


def _row(job_id: str = "job-1", job: str = "nightly") -> Any:
    return token_row(job_id, source_input={"job": job})


def _source(clients: ApiClients, ask: AskAws = _ASK, reading: Reading = _READING) -> AwsSource:
    return AwsSource(ask, reading, clients)


async def test_a_job_is_asked_for_with_what_its_row_says(clients: ApiClients, apis: AwsApis) -> None:
    apis.say(_RUNNING, {"JobRun": {"JobRunState": "SUCCEEDED", "CompletedOn": 1767225600}})
    source = _source(clients)
    assert await source.check(_row()) == InProgress()
    assert await source.check(_row("job-2", "hourly")) == Completed(
        {"JobRun": {"JobRunState": "SUCCEEDED", "CompletedOn": "2026-01-01T00:00:00Z"}}
    )
    assert [(asked.operation, asked.parameters) for asked in apis.asked] == [
        ("GetJobRun", {"JobName": "nightly", "RunId": "job-1"}),
        ("GetJobRun", {"JobName": "hourly", "RunId": "job-2"}),
    ]


async def test_a_row_without_the_input_that_is_needed_is_not_asked_for(clients: ApiClients, apis: AwsApis) -> None:
    report = await _source(clients).check(token_row())
    assert isinstance(report, Unanswered)
    assert not apis.asked


@pytest.mark.parametrize(
    ("code", "status", "refusal"),
    [
        ("ThrottlingException", 400, Refusal.THROTTLED),
        ("InternalServiceException", 500, Refusal.UNAVAILABLE),
        ("AccessDeniedException", 400, Refusal.DENIED),
        ("UnrecognizedClientException", 400, Refusal.CREDENTIALS),
    ],
)
async def test_a_refusal_spends_nothing_and_is_sent_once(
    clients: ApiClients, apis: AwsApis, code: str, status: int, refusal: Refusal
) -> None:
    apis.refuse(code, status)
    report = await _source(clients).check(_row())
    assert isinstance(report, Unasked)
    assert report.refusal is refusal
    assert report.error.startswith(
        f"glue GetJobRun: {code}: as the test asked for (at {apis.endpoint}, region us-east-1"
    )
    assert len(apis.asked) == 1


@pytest.mark.parametrize("body", ["<html>sign in</html>", "", "[]", "null", "{", '{"JobRun": 3}', "\udcff"])
async def test_a_reply_that_is_not_the_service_s_ends_nothing(clients: ApiClients, apis: AwsApis, body: str) -> None:
    apis.replies.append(web.Response(body=body.encode("utf-8", "surrogateescape"), content_type="text/html"))
    assert isinstance(await _source(clients).check(_row()), Unanswered)


async def test_an_input_that_the_service_s_model_refuses_costs_its_own_job(clients: ApiClients, apis: AwsApis) -> None:
    report = await _source(clients).check(_row("job-1", ""))
    assert isinstance(report, Unanswered)
    assert "ParamValidationError" in report.error
    assert not apis.asked


async def test_an_endpoint_where_nobody_listens_spends_nothing(
    clients: ApiClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{unused.getsockname()[1]}")
        source = _source(clients)
        report = await source.check(_row())
        assert isinstance(report, Unasked)
        assert report.refusal is Refusal.UNREACHABLE
        with pytest.raises(CloudError, match="nobody answers at"):
            await source.probe()


async def test_an_endpoint_that_never_replies_spends_an_attempt(apis: AwsApis, monkeypatch: pytest.MonkeyPatch) -> None:
    assert apis
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        clients = ApiClients(4, 0.1)
        report = await _source(clients).check(_row())
        await clients.aclose()
    assert isinstance(report, Unanswered)
    assert "ReadTimeoutError" in report.error


async def test_new_credentials_are_used_with_the_check_after_the_refused_one(
    clients: ApiClients, apis: AwsApis, keys: Path
) -> None:
    apis.replies.extend([error("ExpiredTokenException"), web.json_response(_RUNNING)])
    source = _source(clients)
    await clients.client(_ASK)
    write_key(keys, "SECOND")
    assert isinstance(await source.check(_row()), Unasked)
    assert await source.check(_row()) == InProgress()
    assert [asked.key for asked in apis.asked] == ["FIRST", "SECOND"]


async def test_a_role_that_cannot_be_assumed_spends_nothing(clients: ApiClients, apis: AwsApis) -> None:
    apis.say(_RUNNING)
    apis.role_denied = True
    source = _source(clients, AskAws("glue", "GetJobRun", _ASK.parameters, role_arn=ROLE))
    report = await source.check(_row())
    assert isinstance(report, Unasked)
    assert report.refusal is Refusal.DENIED
    with pytest.raises(CloudError, match="AccessDenied"):
        await source.probe()
    apis.role_denied = False
    await source.probe()
    assert await source.check(_row()) == InProgress()


async def test_without_credentials_nothing_is_spent(clients: ApiClients, apis: AwsApis, keys: Path) -> None:
    take_keys_away(keys)
    source = _source(clients)
    report = await source.check(_row())
    assert isinstance(report, Unasked)
    assert report.refusal is Refusal.CREDENTIALS
    with pytest.raises(CloudError, match="NoCredentialsError"):
        await source.probe()
    write_key(keys, "SECOND")
    apis.say(_RUNNING)
    assert isinstance(await source.check(_row()), Unasked), "it is this refusal that lets them be read again"
    assert await source.check(_row()) == InProgress()


async def test_access_that_is_denied_to_one_job_again_while_others_are_answered_is_its_own_affair(
    clients: ApiClients, apis: AwsApis
) -> None:
    source = _source(clients)

    async def denied(job_id: str) -> Report:
        apis.refuse("AccessDeniedException")
        return await source.check(_row(job_id))

    assert isinstance(await denied("theirs"), Unasked)
    assert isinstance(await denied("theirs"), Unasked), "nobody was answered between"
    apis.say(_RUNNING)
    assert await source.check(_row("ours")) == InProgress()
    assert isinstance(await denied("theirs"), Unanswered)
    assert isinstance(await denied("ours"), Unasked), "it was not denied to this one before"


async def test_jobs_are_asked_for_together(clients: ApiClients, apis: AwsApis) -> None:
    apis.say({"builds": [{"id": "b", "buildStatus": "IN_PROGRESS"}, {"id": "a", "buildStatus": "SUCCEEDED"}]})
    source = _source(clients, _BATCH, _BUILDS)
    reports = await source.check_together([token_row("a"), token_row("b"), token_row("c"), token_row("a")])
    completed = Completed({"id": "a", "buildStatus": "SUCCEEDED"})
    unknown = Unanswered("codebuild BatchGetBuilds knows no such job", unknown_job=True)
    assert reports == [completed, InProgress(), unknown, completed]
    assert [asked.parameters for asked in apis.asked] == [{"ids": ["a", "b", "c"]}]


async def test_more_jobs_than_an_operation_takes_are_several_requests(clients: ApiClients, apis: AwsApis) -> None:
    apis.say({"builds": [{"id": job_id, "buildStatus": "IN_PROGRESS"} for job_id in "abcde"]})
    reports = await _source(clients, _BATCH, _BUILDS).check_together([token_row(job_id) for job_id in "abcde"])
    assert reports == [InProgress()] * 5
    assert sorted(asked.parameters["ids"] for asked in apis.asked) == [["a", "b", "c"], ["d", "e"]]


async def test_a_batch_that_is_refused_for_one_job_is_to_be_asked_one_by_one(
    clients: ApiClients, apis: AwsApis
) -> None:
    apis.refuse("InvalidInputException")
    source = _source(clients, _BATCH, _BUILDS)
    assert isinstance(await source.check_together([token_row("a"), token_row("b")]), NotTogether)
    assert isinstance(await source.check(token_row("a")), Unanswered)
    apis.refuse("ThrottlingException")
    reports = await source.check_together([token_row("a"), token_row("b")])
    assert isinstance(reports, list)
    assert [type(report) for report in reports] == [Unasked, Unasked]


_OBJECT = AskAws("s3", "GetObject", {"Bucket": "jobs", "Key": "{jobId}.json"})


async def test_a_stream_is_read_for_what_it_holds(clients: ApiClients, apis: AwsApis) -> None:
    source = _source(clients, _OBJECT, Reading("Body.state", ["RUNNING"], ["DONE"], result="Body"))
    apis.say({"state": "DONE", "rows": 3})
    assert await source.check(token_row("a")) == Completed({"state": "DONE", "rows": 3})
    whole = _source(clients, _OBJECT, Reading(acceptors=[Acceptor("success", "status", 200)], result="Body"))
    apis.replies.clear()
    apis.replies.extend([web.Response(body=b"done \xc3\xa4"), web.Response(body=b"\xff\x00")])
    assert await whole.check(token_row("a")) == Completed("done ä")
    assert await whole.check(token_row("a")) == Completed("/wA=")


@pytest.mark.parametrize(("size", "kind"), [(LARGEST_STREAM, Completed), (LARGEST_STREAM + 1, Unanswered)])
async def test_a_stream_is_read_up_to_a_megabyte(
    clients: ApiClients, apis: AwsApis, size: int, kind: type[Report]
) -> None:
    apis.replies.append(web.Response(body=b"x" * size))
    reading = Reading(acceptors=[Acceptor("success", "status", 200)], result="length(Body)")
    assert isinstance(await _source(clients, _OBJECT, reading).check(token_row("a")), kind)


async def test_a_source_that_can_be_asked_is_probed_without_a_request(clients: ApiClients, apis: AwsApis) -> None:
    await _source(clients).probe()
    assert not apis.asked


async def test_the_probe_leaves_an_endpoint_behind_a_proxy_alone(
    clients: ApiClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:2")
    await _source(clients).probe()
