"""Asking once: all that went out and came back is shown, but for secrets."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from scheduler.asking import Asked, ask_once
from scheduler.core.check_replies import Completed, Failed, InProgress, Unanswered, Unasked
from scheduler.settings import Settings
from scheduler.source_file import read_sources
from scheduler.source_listing import sources_checked

SECRET = "hunter2hunter2"
pytestmark = pytest.mark.usefixtures("no_settings")


class Service:
    """Replies with what a test wants, to every request."""

    def __init__(self) -> None:
        self.status = 200
        self.reply: Any = {}
        self.seen: list[tuple[str, str | None, bytes]] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                service.seen.append((self.path, self.headers.get("Authorization"), self.rfile.read(length)))
                body = json.dumps(service.reply).encode()
                self.send_response(service.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_POST = do_HEAD = do_GET  # noqa: N815  as the base class calls them

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    made = Service()
    thread = Thread(target=made.server.serve_forever)
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", made.url)
    monkeypatch.setenv("REPORTS_TOKEN", SECRET)
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def file(service: Service) -> str:
    url = f"{service.url}/jobs/{{jobId}}?of={{input.tenant}}"
    athena = {"service": "athena", "operation": "GetQueryExecution", "parameters": {"QueryExecutionId": "{jobId}"}}
    builds = {"service": "codebuild", "operation": "BatchGetBuilds", "parameters": {"ids": ["{jobId}"]}}
    sources = {
        "reports": {
            "http": {"url": url, "auth": {"bearer": {"env": "REPORTS_TOKEN"}}, "headers": {"X-Api-Key": SECRET}},
            "status": "body.state",
            "in_progress": ["RUNNING"],
            "completed": ["DONE"],
            "failed": ["FAILED"],
            "reason": "body.why",
        },
        "queries": {
            "aws": athena,
            "status": "QueryExecution.Status.State",
            "in_progress": ["QUEUED", "RUNNING"],
            "completed": ["SUCCEEDED"],
            "failed": ["FAILED", "CANCELLED"],
            "unknown_errors": ["InvalidRequestException"],
        },
        "builds": {
            "aws": builds | {"batch": {"items": "builds", "id": "id"}},
            "status": "buildStatus",
            "in_progress": ["IN_PROGRESS"],
            "completed": ["SUCCEEDED"],
            "failed": ["FAILED", "FAULT", "STOPPED", "TIMED_OUT"],
            "result": "arn",
        },
    }
    return json.dumps(sources)


async def asked(service: Service, name: str, given: dict[str, Any]) -> Asked:
    done = await ask_once(Settings.load(), read_sources(file(service)).specs[name], "job/1", given)
    assert SECRET not in repr(done)
    return done


async def test_an_http_api_is_asked_as_a_poll_asks_it(service: Service) -> None:
    service.reply = {"state": "FAILED", "why": "no disk", "echo": SECRET}
    done = await asked(service, "reports", {"tenant": "a&b"})
    assert service.seen == [("/jobs/job%2F1?of=a%26b", f"Bearer {SECRET}", b"")]
    assert done.request["url"] == f"{service.url}/jobs/job%2F1?of=a%26b"
    assert (done.request["method"], done.request["auth"]) == ("GET", "bearer")
    assert done.request["headers"]["X-Api-Key"] == "***"
    assert (done.reply["status"], done.reply["body"]["echo"]) == (200, "***")
    assert (done.rule, done.report) == ("FAILED is in failed", Failed("no disk"))


async def test_a_job_that_does_not_fit_is_never_asked_for(service: Service) -> None:
    done = await asked(service, "reports", {})
    assert (service.seen, done.request, done.reply, done.rule) == ([], {}, None, None)
    assert isinstance(done.report, Unanswered)


async def test_a_source_that_refuses_is_told_without_a_rule(service: Service) -> None:
    service.status = 403
    done = await asked(service, "reports", {"tenant": "a"})
    assert (done.reply["status"], done.rule) == (403, None)
    assert isinstance(done.report, Unasked)


async def test_an_aws_api_is_asked_as_a_poll_asks_it(service: Service) -> None:
    service.reply = {"QueryExecution": {"Status": {"State": "RUNNING"}}}
    done = await asked(service, "queries", {})
    assert [json.loads(body) for _, _, body in service.seen] == [{"QueryExecutionId": "job/1"}]
    assert done.request == {
        "service": "athena",
        "operation": "GetQueryExecution",
        "parameters": {"QueryExecutionId": "job/1"},
    }
    assert done.reply == service.reply
    assert (done.rule, done.report) == ("RUNNING is in in_progress", InProgress())


async def test_an_operation_that_takes_many_ids_is_asked_for_the_one(service: Service) -> None:
    service.reply = {"builds": [{"id": "job/1", "buildStatus": "SUCCEEDED", "arn": "arn:of:it"}]}
    done = await asked(service, "builds", {})
    assert [json.loads(body) for _, _, body in service.seen] == [{"ids": ["job/1"]}]
    assert (done.rule, done.report) == ("SUCCEEDED is in completed", Completed("arn:of:it"))


async def test_an_error_of_a_service_is_its_reply(service: Service) -> None:
    service.status, service.reply = 400, {"__type": "InvalidRequestException", "message": "no such query"}
    done = await asked(service, "queries", {})
    assert done.reply == {"Error": {"Code": "InvalidRequestException", "Message": "no such query"}}
    assert isinstance(done.report, Unanswered)
    assert done.report.unknown_job


async def test_check_probes_each_source_and_calls_no_operation(service: Service) -> None:
    lines = [line async for line in sources_checked(file(service), None, 30)]
    assert [(what, ok) for what, ok, _ in lines] == [
        ("sources", True),
        ("source reports", True),
        ("source queries", True),
        ("source builds", True),
    ]
    assert [body for _, _, body in service.seen if body] == []


async def test_check_tells_what_cannot_be_reached_and_what_is_missing(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REPORTS_TOKEN")
    lines = {what: (ok, detail) async for what, ok, detail in sources_checked(file(service), None, 30)}
    assert lines["source reports"][0] is False
    assert "environment variable REPORTS_TOKEN is not set" in lines["source reports"][1]
    assert lines["source queries"][0] is True


async def test_check_gives_a_line_for_each_fault_of_the_file() -> None:
    lines = [line async for line in sources_checked('{"a": 7, "b": {}}', None, 30)]
    assert lines == [
        ("sources", False, "SCHEDULER_SOURCES: a: it takes a mapping"),
        (
            "sources",
            False,
            "SCHEDULER_SOURCES: b: there is none; a source is exactly one of aws, http, lambda, preset, waiter",
        ),
    ]
