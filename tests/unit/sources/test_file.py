"""The file of sources: what it is taken for, and one line for each fault, all of them at once."""

import json
from pathlib import Path
from typing import Any

import pytest

from scheduler.checks.spec import AskAws, AskHttp, AskLambda
from scheduler.errors import SettingsError
from scheduler.source_file import read_sources

EXAMPLE = """
reports:
  http: {url: "https://reports.example.com/v2/jobs/{jobId}", auth: {bearer: {env: REPORTS_TOKEN}}}
  status: body.state            # JMESPath
  in_progress: [QUEUED, RUNNING]
  completed: [DONE]
  failed: [FAILED, CANCELLED]
  result: "{url: body.links.output}"
  reason: body.error.message
nightly-etl: {preset: glue-job-run, with: {JobName: nightly}}
queries:
  aws: {service: athena, operation: GetQueryExecution, parameters: {QueryExecutionId: "{jobId}"}}
  status: QueryExecution.Status.State
  completed: [SUCCEEDED]
  failed: [FAILED, CANCELLED]
snapshots: {waiter: {service: rds, name: DBSnapshotCompleted, parameters: {DBSnapshotIdentifier: "{jobId}"}}}
"""
HTTP: dict[str, Any] = {
    "http": {"url": "https://example.com/{jobId}"},
    "status": "body.state",
    "completed": ["DONE"],
    "failed": ["FAILED"],
}
GLUE: dict[str, Any] = {"preset": "glue-job-run", "with": {"JobName": "nightly"}}


def faults(entry: Any, name: str = "one") -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read_sources(json.dumps({name: entry}))
    return [line.removeprefix(f"SCHEDULER_SOURCES: {name}: ") for line in str(caught.value).splitlines()]


def http(**given: Any) -> dict[str, Any]:
    return HTTP | {"http": HTTP["http"] | given}


def expanded(entry: dict[str, Any]) -> Any:
    return read_sources(json.dumps({"one": entry})).entries["one"]


def test_the_example_of_the_guide_is_read(tmp_path: Path) -> None:
    file = tmp_path / "sources.yaml"
    file.write_text(EXAMPLE)
    sources = read_sources(str(file))
    assert list(sources.specs) == ["reports", "nightly-etl", "queries", "snapshots"]
    asks = {name: spec.ask for name, spec in sources.specs.items()}
    assert asks["reports"] == AskHttp(
        "https://reports.example.com/v2/jobs/{jobId}", auth={"bearer": {"env": "REPORTS_TOKEN"}}
    )
    assert asks["nightly-etl"] == AskAws("glue", "GetJobRun", {"JobName": "nightly", "RunId": "{jobId}"})
    assert asks["snapshots"] == AskAws("rds", "DescribeDBSnapshots", {"DBSnapshotIdentifier": "{jobId}"})
    limits = sources.specs["snapshots"].limits
    assert (limits.interval_seconds, limits.max_attempts) == (15, 40)
    assert sources.warnings == [f"{file}: queries: status: in none of the lists, and so never an end: QUEUED, RUNNING"]
    assert json.loads(json.dumps(sources.entries)) == sources.entries


def test_no_file_is_no_source() -> None:
    assert read_sources(None).specs == {}


def test_json_in_place_is_the_same() -> None:
    sources = read_sources(' {"f": {"lambda": {"function": "check", "batch_size": 5}}}')
    assert sources.specs["f"].ask == AskLambda("check", 5)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it takes a mapping, of the sources by their names"),
        (b"- a", "it takes a mapping, of the sources by their names"),
        (b"a: {\xff}", "it is not UTF-8"),
        (b"a: {}\na: {}", "line 2, column 1: the key 'a' is there twice"),
        (b"#" * 1_000_001, "it is larger than 1000000 bytes"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, content: bytes, why: str) -> None:
    file = tmp_path / "sources.yaml"
    file.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        read_sources(str(file))
    assert str(caught.value) == f"{file}: {why}"


def test_a_file_that_is_not_there_is_a_fault_of_the_setting() -> None:
    with pytest.raises(SettingsError) as caught:
        read_sources("missing.yaml")
    assert str(caught.value) == (
        "SCHEDULER_SOURCES='missing.yaml' is not allowed (No such file or directory):"
        " it takes the path of a YAML file, or JSON"
    )


def test_all_faults_of_all_entries_are_told_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        read_sources(json.dumps({"a": HTTP | {"interval_seconds": 0, "max_attempts": "9"}, "b": {}, "c d": HTTP}))
    assert str(caught.value).splitlines() == [
        "SCHEDULER_SOURCES: a: interval_seconds: it takes a number of seconds from 0.1 to 86400",
        "SCHEDULER_SOURCES: a: max_attempts: it takes a whole number from 1 to 1000000",
        "SCHEDULER_SOURCES: b: there is none; a source is exactly one of aws, http, lambda, preset, waiter",
        "SCHEDULER_SOURCES: 'c d': it takes up to 140 letters, digits, '_', '-' and '.', a letter or digit first",
    ]


PLACES = "it takes no secret itself, but where it is kept: {env: NAME}, {file: PATH}, {secret: NAME, key: KEY}"


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (7, "it takes a mapping"),
        (HTTP | {"aws": {}}, "there are aws and http; a source is exactly one of aws, http, lambda, preset, waiter"),
        (HTTP | {"complete": []}, "complete: there is no such key; allowed are http, aws, "),
        (HTTP | {"complete": []}, "did you mean 'completed'?"),
        (HTTP | {"completed": []}, "completed: it is missing: the list of statuses of a job that has ended well"),
        (HTTP | {"completed": "DONE"}, "completed: it takes a list of statuses"),
        (HTTP | {"failed": ["DONE"]}, "failed: 'DONE' is in completed too"),
        (HTTP | {"failed": ["A", "A"]}, "failed: 'A' is in it twice"),
        (HTTP | {"status": "state"}, "status: an HTTP reply has no 'state', but status, headers, body"),
        (HTTP | {"result": "body."}, "result: it is no JMESPath: "),
        (HTTP | {"unknown_errors": ["X"]}, "unknown_errors: it goes with aws alone; with http, 404 says"),
        (HTTP | {"region": "eu-west-1"}, "region: it goes with preset alone; with http it stands inside of that"),
        (HTTP | {"backoff": {"longest": 5}, "interval_seconds": 9}, "backoff.longest: it is shorter than"),
        (HTTP | {"interval_seconds": True}, "interval_seconds: it takes a number of seconds from 0.1 to 86400"),
        (HTTP | {"acceptors": [{}]}, "acceptors[0].state: it is missing: success, failure or retry"),
        ({"http": HTTP["http"]}, "status: it is missing: a JMESPath to the job's status, or acceptors in its place"),
        (http(url="ftp://x/{jobId}"), "http.url: it takes an address that begins with https:// or http://"),
        (http(url="https://{jobId}.example.com/"), "http.url: no placeholder may stand in the host"),
        (http(url="https://x:{input.port}/"), "http.url: no placeholder may stand in the host"),
        (http(url="https://me:hunter2@x/{jobId}"), "http.url: no user and password may stand in it: see auth"),
        (http(url="https://x/{jobId}#top"), "http.url: a part after # is never sent"),
        (http(url="https://x/a b{jobId}"), "http.url: it takes no blanks and controls: write them as %20"),
        (http(url="https://x:99999/{jobId}"), "http.url: its host or port cannot be read"),
        (http(url="https://x/{jobid}"), "http.url: {jobid} is not known; allowed are {jobId} and {input.NAME}"),
        (http(url="https://x/{jobId"), "http.url: braces hold {jobId} or {input.NAME}; a literal brace is"),
        (http(url="https://x/../{jobId}"), "http: no segment of its path may be . or .."),
        (http(headers={"Host": "a"}), "http: header 'Host': it is no name of a header, or one that is not an entry's"),
        (http(method="POST", body='{"id": "{jobId}"}'), "http.body: braces hold {jobId} or {input.NAME}; a literal"),
        (http(method="PUT"), "http.method: it takes GET or POST"),
        (http(body={"a": "{jobId}"}), "http.body: a GET has no body; it goes with method: POST"),
        (http(headers={"X Y": "a"}), "http.headers: it takes names of letters, digits and hyphens"),
        (http(headers={"X": "a\r\nb: c"}), "http.headers.X: a header takes no line breaks or other controls"),
        (http(headers={"X": 1}), "http.headers.X: it takes a mapping of texts; put numbers in quotes"),
        (http(auth={"bearer": "hunter2"}), f"http.auth.bearer: {PLACES}"),
        (http(auth={"basic": {"username": "me", "password": "hunter2"}}), f"http.auth.basic.password: {PLACES}"),
        (
            http(auth={"bearer": {"env": "A", "file": "b"}}),
            "http.auth.bearer: there are env and file; where the secret",
        ),
        (http(auth={"bearer": {"env": "A", "key": "b"}}), "http.auth.bearer: key goes with secret alone"),
        (http(auth={"bearer": {"env": "A"}, "basic": {}}), "http.auth: there are basic and bearer; auth is exactly"),
        (http(auth={"oauth2": {"client_id": "a"}}), "http.auth.oauth2.token_url: it is missing: an https address"),
        ({"lambda": {"function": "f"}, "status": "x"}, "status: it does not go with lambda, whose reply says"),
        ({"lambda": {"function": "f", "batch_size": 101}}, "lambda.batch_size: it takes a whole number from 1 to 100"),
        ({"preset": "glue-job"}, "did you mean 'glue-job-run'?"),
        ({"preset": "glue-job-run"}, "with.JobName: the preset glue-job-run needs it: the job's name"),
        (GLUE | {"with": {"JobName": "a", "Job": "b"}}, "with.Job: the preset glue-job-run has no such parameter"),
        (GLUE | {"with": {"JobName": 7}}, "aws.parameters.JobName: it takes a text; put it in quotes"),
        (GLUE | {"with": {"JobName": "{jobid}"}}, "aws.parameters.JobName: {jobid} is not known; allowed are"),
        (GLUE | {"region": "Ireland"}, "region: it takes a region such as eu-west-1"),
        (GLUE | {"role_arn": "me"}, "role_arn: it takes the ARN of a role"),
        ({"waiter": {"service": "rds", "name": "X"}, "status": "a"}, "status: it does not go with waiter, which has"),
    ],
)
def test_a_fault_says_where_it_is_and_what_is_allowed(entry: Any, why: str) -> None:
    told = faults(entry)
    assert any(line.startswith(why) or (why.startswith("did you") and line.endswith(why)) for line in told), told
    assert "hunter2" not in "\n".join(told)


@pytest.mark.parametrize(
    "entry",
    [
        http(auth={"bearer": "hunter2"}),
        http(auth={"header": {"name": "hunter2 ", "value": ["hunter2"]}}),
        http(auth={"oauth2": {"token_url": "hunter2", "client_id": ["hunter2"], "client_secret": "hunter2"}}),
        http(auth={"sigv4": {"service": 1, "region": "hunter2", "role_arn": "hunter2"}}),
        http(url="https://me:hunter2@example.com/{jobId}"),
        http(url="hunter2"),
        http(headers={"Authorization": "hunter2\n"}),
        http(method="POST", body='{"password": "hunter2"}'),
        HTTP | {"interval_seconds": "hunter2", "backoff": "hunter2", "completed": "hunter2"},
    ],
)
def test_no_line_holds_what_may_be_a_secret(entry: Any) -> None:
    assert "hunter2" not in "\n".join(faults(entry))


ACCEPT = {"state": "success", "matcher": "path", "argument": "body.state", "expected": "DONE"}


@pytest.mark.parametrize(
    ("acceptor", "why"),
    [
        ({"matcher": "path", "expected": "DONE"}, "acceptors[0].argument: it is missing: path needs a JMESPath"),
        (
            {"matcher": "pathAll", "argument": "body.a", "expected": []},
            "acceptors[0].expected: it takes a text, a number",
        ),
        (
            {"matcher": "status", "argument": "body.a", "expected": 200},
            "acceptors[0].argument: the matcher status takes none",
        ),
        ({"matcher": "status", "expected": "200"}, "acceptors[0].expected: it takes the number of an HTTP status"),
        ({"matcher": "error", "expected": "X"}, "acceptors[0].matcher: an HTTP reply has no error code"),
        (
            {"matcher": "like", "expected": "X"},
            "acceptors[0].matcher: it takes path, pathAll, pathAny, status or error",
        ),
        ({"matcher": "path", "argument": "body[", "expected": 1}, "acceptors[0].argument: it is no JMESPath"),
    ],
)
def test_acceptors_are_checked_one_by_one(acceptor: dict[str, Any], why: str) -> None:
    told = faults({"http": HTTP["http"], "acceptors": [{"state": "failure"} | acceptor, ACCEPT]})
    assert [line[: len(why)] for line in told] == [why]


def test_acceptors_take_the_place_of_the_lists_and_complete_something() -> None:
    assert faults(HTTP | {"acceptors": [ACCEPT]}) == [
        "acceptors: they take the place of status and its lists, and status is there too"
    ]
    assert faults({"http": HTTP["http"], "acceptors": [ACCEPT | {"state": "retry"}]}) == [
        "acceptors: none of them has the state success: no job would ever complete"
    ]


def test_statuses_may_be_numbers_and_booleans() -> None:
    assert expanded(HTTP | {"completed": [True, 3]})["completed"] == [True, 3]
    assert faults(HTTP | {"completed": [True], "failed": ["true"]}) == ["failed: 'true' is in completed too"]


@pytest.mark.parametrize(
    ("entry", "warning"),
    [
        (
            http(url="https://x/jobs"),
            "http: neither {jobId} nor an {input.NAME} stands in it: each job asks the very same",
        ),
        (
            http(url="http://x/{jobId}", auth={"bearer": {"env": "A"}}),
            "http.url: auth goes over the network unencrypted: http:// and not https://",
        ),
        (
            http(headers={"Authorization": "Basic aGk="}),
            "http.headers.Authorization: a secret does not belong into the file: see auth",
        ),
    ],
)
def test_what_is_allowed_and_odd_gets_a_warning(entry: Any, warning: str) -> None:
    assert read_sources(json.dumps({"one": entry})).warnings == [f"SCHEDULER_SOURCES: one: {warning}"]


def test_a_local_http_address_with_auth_is_nothing_to_warn_of() -> None:
    entry = http(url="http://localhost:8000/{jobId}", auth={"bearer": {"env": "A"}})
    assert read_sources(json.dumps({"one": entry})).warnings == []
