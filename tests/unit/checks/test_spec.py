"""Specs as they are read from the entries of a file."""

from scheduler.checks.spec import Acceptor, AskAws, AskHttp, AskLambda, Batch, Limits, Reading, SourceSpec, spec_of


def test_an_http_api_with_all_that_an_entry_can_say() -> None:
    entry = {
        "http": {"url": "https://reports.example.com/{jobId}", "auth": {"bearer": {"env": "REPORTS_TOKEN"}}},
        "status": "body.state",
        "in_progress": ["QUEUED"],
        "completed": ["DONE"],
        "failed": ["FAILED"],
        "result": "{url: body.links.output}",
        "reason": "body.error.message",
        "interval_seconds": 5,
        "backoff": {"factor": 2, "longest": 60},
        "timeout_seconds": 3,
        "max_attempts": 9,
        "concurrency": 7,
        "rate_per_second": 2.5,
    }
    assert spec_of("reports", entry) == SourceSpec(
        "reports",
        AskHttp("https://reports.example.com/{jobId}", auth={"bearer": {"env": "REPORTS_TOKEN"}}),
        Reading("body.state", ["QUEUED"], ["DONE"], ["FAILED"], (), "{url: body.links.output}", "body.error.message"),
        Limits(5, 2, 60, 3, 9, 7, 2.5),
    )


def test_an_aws_operation_with_acceptors_that_takes_many_ids() -> None:
    entry = {
        "aws": {
            "service": "batch",
            "operation": "DescribeJobs",
            "parameters": {"jobs": ["{jobId}"]},
            "batch": {"items": "jobs", "id": "jobId"},
        },
        "acceptors": [{"state": "success", "matcher": "path", "argument": "status", "expected": "SUCCEEDED"}],
    }
    assert spec_of("batch", entry) == SourceSpec(
        "batch",
        AskAws("batch", "DescribeJobs", {"jobs": ["{jobId}"]}, batch=Batch("jobs", "jobId", 100)),
        Reading(acceptors=[Acceptor("success", "path", "SUCCEEDED", "status")]),
    )


def test_a_lambda_function_needs_nothing_but_its_name() -> None:
    assert spec_of("other", {"lambda": {"function": "ask"}}) == SourceSpec("other", AskLambda("ask"))
