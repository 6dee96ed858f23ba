"""How a token row is read, one's own or a foreign creator's."""

import re
import zlib
from typing import Any

import pytest

from scheduler.core.answers import PendingAnswer, Succeed, write_pending
from scheduler.core.attributes import Attribute, to_attribute
from scheduler.core.instant import parse_iso
from scheduler.core.row_reader import Malformed, MalformedRowError, read_found, read_row
from scheduler.core.token import TaskToken
from scheduler.core.token_row import NOT_UNDERSTOOD, TokenRow, due_shard
from tests.fakes import row_item, token_row

PENDING = PendingAnswer(Succeed("{}"), 2)


def test_a_foreign_row_needs_none_of_our_attributes() -> None:
    execution = "arn:aws:states:us-east-1:000000000000:execution:flow:job-1"
    expires = parse_iso("2026-01-01T01:00:00Z")
    assert read_row(row_item()) == TokenRow("job-1", TaskToken("AQ-job-1"), execution, expires, 0, 10)


def test_a_row_of_our_own_is_read_whole() -> None:
    item = row_item(
        version={"N": "7"},
        intervalSeconds={"N": "0.5"},
        claimId={"S": "claim-1"},
        source={"M": {"name": {"S": "reports"}, "input": {"M": {"team": {"S": "a"}, "year": {"N": "2026"}}}}},
        heartbeat={"BOOL": True},
        pendingAnswer=to_attribute(write_pending(PENDING)),
        lastError={"S": "it sleeps"},
    )
    assert read_row(item) == token_row(
        version=7,
        interval_seconds=0.5,
        claim_id="claim-1",
        source="reports",
        source_input={"team": "a", "year": 2026},
        heartbeat=True,
        pending=PENDING,
        last_error="it sleeps",
    )


@pytest.mark.parametrize(
    ("held", "entry"), [({"S": "abc#0"}, "abc#0"), ({"BOOL": True}, None), ({"N": "1"}, None), (None, None)]
)
def test_an_entry_is_a_text_or_none_of_ours(held: Attribute | None, entry: str | None) -> None:
    assert read_row(row_item(entry=held)) == token_row(entry=entry)


@pytest.mark.parametrize(
    ("held", "source"),
    [
        ({"S": "reports"}, "reports"),
        ({"M": {"name": {"S": "reports"}}}, "reports"),
        (None, None),
        # What a newer version may write is no source that is known here.
        ({"M": {}}, NOT_UNDERSTOOD),
        ({"M": {"name": {"N": "1"}}}, NOT_UNDERSTOOD),
        ({"M": {"name": {"S": "reports"}, "input": {"S": "text"}}}, NOT_UNDERSTOOD),
        ({"L": [{"S": "reports"}]}, NOT_UNDERSTOOD),
        ({"N": "NaN"}, NOT_UNDERSTOOD),
        # An empty name, which a state machine may well pass on, is none.
        ({"S": ""}, None),
        ({"M": {"name": {"S": ""}}}, None),
    ],
)
def test_a_row_names_its_source(held: Attribute | None, source: str | None) -> None:
    assert read_row(row_item(source=held)) == token_row(source=source)


def test_attributes_that_nobody_knows_are_ignored() -> None:
    assert read_row(row_item(colour={"S": "red"}, createdAt=None)) == token_row()


TEXT, COUNT, TIME = "a non-empty string", "a whole number of 0 or more", "an ISO 8601 timestamp"
TOKEN, INTERVAL = "a string of 1 to 2048 characters", "a number above 0, up to 31536000"
KEPT = "an answer as this program keeps them"
MALFORMED: list[tuple[str, Attribute, str]] = [
    ("expiresAt", {"S": ""}, f"(type S) must be {TIME}"),
    ("expiresAt", {"S": "tomorrow"}, f"(type S) must be {TIME}"),
    ("expiresAt", {"S": "2026-13-01T00:00:00Z"}, f"(type S) must be {TIME}"),
    ("expiresAt", {"S": "0001-01-01T00:00:00+23:59"}, f"(type S) must be {TIME}"),
    ("expiresAt", {"N": "1767225600"}, f"(type N) must be {TIME}"),
    ("attemptCount", {"S": "1"}, f"(type S) must be {COUNT}"),
    ("attemptCount", {"N": "-1"}, f"(type N) must be {COUNT}"),
    ("attemptCount", {"N": "1.5"}, f"(type N) must be {COUNT}"),
    ("attemptCount", {"N": "NaN"}, f"(type N) must be {COUNT}"),
    ("attemptCount", {"NULL": True}, f"(type NULL) must be {COUNT}"),
    ("maxAttempts", {"S": "ten"}, f"(type S) must be {COUNT}"),
    ("maxAttempts", {"BOOL": True}, f"(type BOOL) must be {COUNT}"),
    ("version", {"S": "1"}, f"(type S) must be {COUNT}"),
    ("version", {"N": "-1"}, f"(type N) must be {COUNT}"),
    ("intervalSeconds", {"N": "0"}, f"(type N) must be {INTERVAL}"),
    ("intervalSeconds", {"N": "-5"}, f"(type N) must be {INTERVAL}"),
    ("intervalSeconds", {"S": "60"}, f"(type S) must be {INTERVAL}"),
    ("pendingAnswer", {"S": "{}"}, f"(type S) must be {KEPT}"),
    ("pendingAnswer", {"M": {}}, f"(type M) must be {KEPT}"),
    ("taskToken", {"S": ""}, f"(type S) must be {TOKEN}"),
    ("taskToken", {"S": "x" * 2_049}, f"(type S) must be {TOKEN}"),
    ("taskToken", {"B": b"secret"}, f"(type B) must be {TOKEN}"),
]


@pytest.mark.parametrize(("name", "held", "reason"), MALFORMED, ids=lambda value: f"{value!s:.40}")
def test_a_malformed_attribute_is_named_with_what_is_wanted(name: str, held: Attribute, reason: str) -> None:
    with pytest.raises(MalformedRowError) as caught:
        read_row(row_item(**{name: held}))
    assert (caught.value.attribute, caught.value.held) == (name, held)
    assert str(caught.value) == f"{name} {reason}"


@pytest.mark.parametrize(
    ("name", "wanted", "changes"),
    [
        ("taskToken", TOKEN, {}),
        ("createdAt", TIME, {"expiresAt": None, "timeoutSeconds": {"N": "60"}}),  # by itself no time-out says anything
    ],
)
def test_a_missing_attribute_is_named(name: str, wanted: str, changes: dict[str, Attribute | None]) -> None:
    with pytest.raises(MalformedRowError) as caught:
        read_row(row_item(**{name: None} | changes))
    assert (caught.value.attribute, caught.value.held) == (name, None)
    assert str(caught.value) == f"{name} is missing; {wanted} is needed"


def test_a_row_may_be_as_small_as_its_job_its_token_and_its_status() -> None:
    item: dict[str, Attribute] = {"jobId": {"S": "j"}, "taskToken": {"S": "AQ-j"}, "status": {"S": "POLLING"}}
    assert read_row(item) == TokenRow("j", TaskToken("AQ-j"), None, None, 0, None, counted=False)


@pytest.mark.parametrize(
    ("changes", "expires"),
    [
        ({"expiresAt": None, "timeoutSeconds": {"N": "90.5"}}, "2026-01-01T00:01:30.500Z"),
        ({"timeoutSeconds": {"N": "90"}}, "2026-01-01T01:00:00Z"),  # what a creator has reckoned by itself wins
        ({"timeoutSeconds": {"S": "ninety"}}, "2026-01-01T01:00:00Z"),
    ],
)
def test_a_row_expires_at_its_time_or_so_many_seconds_after_it_was_made(
    changes: dict[str, Attribute | None], expires: str
) -> None:
    assert read_row(row_item(**changes)).expires_at == parse_iso(expires)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"timeoutSeconds": {"S": "90"}}, f"timeoutSeconds (type S) must be {INTERVAL}"),
        ({"timeoutSeconds": {"N": "0"}}, f"timeoutSeconds (type N) must be {INTERVAL}"),
        ({"timeoutSeconds": {"N": "9"}, "createdAt": {"S": "now"}}, f"createdAt (type S) must be {TIME}"),
    ],
)
def test_a_time_out_that_cannot_be_reckoned_is_named(changes: dict[str, Attribute | None], fault: str) -> None:
    with pytest.raises(MalformedRowError, match=re.escape(fault)):
        read_row(row_item(expiresAt=None, **changes))


def test_a_token_may_have_2048_characters() -> None:
    assert read_row(row_item(taskToken={"S": "x" * 2_048})).token == TaskToken("x" * 2_048)


@pytest.mark.parametrize("held", [{"S": "s3cret" * 500}, {"B": b"s3cret"}, {"L": [{"S": "s3cret"}]}], ids=str)
def test_a_malformed_token_shows_nothing_of_itself(held: Attribute) -> None:
    found = read_found(row_item(taskToken=held))
    assert isinstance(found, Malformed)
    assert "s3cret" not in f"{found} {found!r} {found.fault} {found.fault!r}"


@pytest.mark.parametrize("name", ["executionId", "claimId", "heartbeat", "lastError", "createdAt"])
@pytest.mark.parametrize("held", [{"N": "1"}, {"M": {}}, {"NULL": True}, {"L": []}], ids=str)
def test_what_no_poll_depends_on_may_hold_anything(name: str, held: Attribute) -> None:
    assert isinstance(read_found(row_item(**{name: held})), TokenRow)


@pytest.mark.parametrize("held", [{"BOOL": False}, {"S": "true"}, {"S": "yes"}, {"N": "1"}], ids=str)
def test_a_heartbeat_is_wanted_only_where_it_is_true(held: Attribute) -> None:
    assert not read_row(row_item(heartbeat=held)).heartbeat


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("3.0", 3), ("3E+1", 30), ("9" * 38, 10**38 - 1)])
def test_a_whole_number_may_be_written_in_any_way(text: str, number: int) -> None:
    assert read_row(row_item(attemptCount={"N": text})).attempt_count == number


def test_a_row_that_is_found_malformed_keeps_its_job_id() -> None:
    found = read_found(row_item("job-9", expiresAt={"S": ""}))
    assert isinstance(found, Malformed)
    assert found.job_id == "job-9"
    assert found.fault.attribute == "expiresAt"


@pytest.mark.parametrize(
    ("row", "attempts", "version"),
    [
        (token_row(), 1, 1),
        (token_row(version=4, attempt_count=3), 4, 5),
        (token_row(version=4, attempt_count=3, pending=PENDING), 3, 5),
    ],
)
def test_a_claim_counts_the_version_and_where_nothing_is_pending_the_attempt(
    row: TokenRow, attempts: int, version: int
) -> None:
    won = row.claimed("claim-9")
    assert (won.attempt_count, won.version, won.claim_id) == (attempts, version, "claim-9")


@pytest.mark.parametrize("job_id", ["job-1", "é", "😀", "\ud800"])
def test_a_job_s_shard_is_its_crc_32(job_id: str) -> None:
    assert due_shard(job_id, 4) == zlib.crc32(job_id.encode("utf-8", "surrogatepass")) % 4


def test_jobs_spread_over_all_shards() -> None:
    assert {due_shard(f"job-{number}", 4) for number in range(100)} == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("name", "number"),
    [("attemptCount", "Infinity"), ("version", "x"), ("intervalSeconds", "NaN"), ("intervalSeconds", "Infinity")],
)
def test_a_number_that_is_none_is_malformed(name: str, number: str) -> None:
    assert isinstance(read_found(row_item(**{name: {"N": number}})), Malformed)


def test_a_token_in_the_wrong_attribute_shows_nothing_of_itself() -> None:
    secret: Any = {"S": "AQ-s3cret"}
    found = read_found(row_item(taskToken=secret, expiresAt=secret))
    assert isinstance(found, Malformed)
    assert "s3cret" not in str(found.fault)
