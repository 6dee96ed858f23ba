"""Faults 43 and 44: the table's owner has indexes of his own, and credentials are renewed behind our back."""

from pathlib import Path
from typing import Any

import pytest

from tests.faults.world import World, until


def add_index(world: World, attribute: str, kind: str) -> None:
    """Let the table's owner index an attribute of ours, as a type of his."""
    index: Any = {
        "IndexName": "owners-own",
        "KeySchema": [{"AttributeName": attribute, "KeyType": "HASH"}],
        "Projection": {"ProjectionType": "KEYS_ONLY"},
    }
    kinds: Any = [{"AttributeName": attribute, "AttributeType": kind}]
    world.dynamodb.update_table(
        TableName=world.table, AttributeDefinitions=kinds, GlobalSecondaryIndexUpdates=[{"Create": index}]
    )


def drop_index(world: World, name: str = "owners-own") -> None:
    def status() -> str | None:
        table = world.dynamodb.describe_table(TableName=world.table)["Table"]
        statuses = {each["IndexName"]: each["IndexStatus"] for each in table.get("GlobalSecondaryIndexes", [])}
        return statuses.get(name)

    until(lambda: status() == "ACTIVE")
    update: Any = [{"Delete": {"IndexName": name}}]
    world.dynamodb.update_table(TableName=world.table, GlobalSecondaryIndexUpdates=update)
    until(lambda: status() is None)


@pytest.mark.parametrize(("attribute", "kind", "ours"), [("completedAt", "N", "S"), ("claimId", "N", "S")])
@pytest.mark.parametrize("made", ["before the start", "after the start"])
def test_fault_43_an_index_that_refuses_our_writes_halts_polling_and_is_said(
    world: World, attribute: str, kind: str, ours: str, made: str
) -> None:
    after_the_start = made == "after the start"
    if not after_the_start:
        add_index(world, attribute, kind)
    said = f"its index owners-own has {attribute} as {kind}, and polls write it as {ours}"
    with world.daemon() as daemon:
        if after_the_start:
            world.ticks(daemon)
            add_index(world, attribute, kind)
        jobs = [world.add(f"job-{number:02}") for number in range(20)]
        if after_the_start and attribute == "completedAt":
            # The claims are taken; only the first marks find it out, and their tasks have their answers by then.
            until(lambda: daemon.events("row.unmarked"))
            world.may_be_repeated += jobs
        until(lambda: said in daemon.readiness()[1].get("reason", ""), 30)
        assert daemon.readiness()[0] == 503
        assert {world.row(job)["status"] for job in jobs} == {"POLLING"}
        assert {row["attemptCount"] for row in world.rows().values()} <= {0, 1}
        drop_index(world)
        for job in jobs:
            world.make_due(job)
        rows = [world.ended(job, 60) for job in jobs]
        until(lambda: daemon.readiness()[0] == 200)
    # Where an answer went out before the table was found out, its repeat meets a closed token.
    late = {"CLOSED"} if after_the_start and attribute == "completedAt" else set()
    assert {row["status"] for row in rows} <= {"COMPLETED"} | late
    assert [world.answers(job) for job in jobs] == [["SendTaskSuccess"]] * 20


def test_fault_43_an_index_on_the_time_as_text_quarantines_nothing(world: World) -> None:
    # Rows with nextPollAt as a number cannot even be stored then: these are of a creator who writes none.
    drop_index(world, "due")
    add_index(world, "nextPollAt", "S")
    jobs = [world.add(f"job-{number:02}", foreign=True) for number in range(20)]
    with world.daemon() as daemon:
        until(lambda: "nextPollAt as S" in daemon.readiness()[1].get("reason", ""))
        assert {row["status"] for row in world.rows().values()} == {"POLLING"}
        drop_index(world)
        assert {world.ended(job, 60)["status"] for job in jobs} == {"COMPLETED"}


@pytest.mark.parametrize(
    ("code", "status", "message"),
    [
        ("ProvisionedThroughputExceededException", 400, "The level of configured provisioned throughput was exceeded"),
        ("AccessDeniedException", 400, "no resource-based policy allows the dynamodb:UpdateItem action"),
        ("KMSInvalidStateException", 400, "the key of the table is disabled"),
        ("ValidationException", 400, "One or more parameter values were invalid: Type mismatch for Index Key"),
        ("InternalServerError", 500, "try again"),
    ],
)
def test_fault_43_a_refusal_that_is_about_the_table_quarantines_nothing(
    world: World, code: str, status: int, message: str
) -> None:
    refused = world.aws.faults.fail("UpdateItem", code=code, status=status, message=message, times=None)
    jobs = [world.add(f"job-{number}", row={"maxAttempts": 1}) for number in range(5)]
    with world.daemon() as daemon:
        refused.wait(4)
        until(lambda: daemon.readiness()[1].get("reason", "").startswith("token table: "))
        assert {(row["status"], row["attemptCount"]) for row in world.rows().values()} == {("POLLING", 0)}
        refused.cancel()
        assert {world.ended(job)["status"] for job in jobs} == {"COMPLETED"}
        until(lambda: daemon.readiness()[0] == 200)
    assert len([line for line in daemon.events("trouble.began") if line["part"] == "token table"]) == 1


def test_fault_44_credentials_that_are_renewed_in_their_file_are_used_within_seconds(
    world: World, tmp_path: Path
) -> None:
    credentials = tmp_path / "credentials"

    def write(key: str) -> None:
        credentials.write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = test\n", "utf-8")

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del world.environment[name]
    endpoint = world.environment.pop("AWS_ENDPOINT_URL")
    world.environment |= {f"AWS_ENDPOINT_URL_{service}": endpoint for service in ("DYNAMODB", "LAMBDA", "SFN")}
    write("FIRST")
    with world.daemon(AWS_SHARED_CREDENTIALS_FILE=str(credentials), AWS_CONFIG_FILE="/dev/null") as daemon:
        for service, old, new in [
            ("*", "FIRST", "SECOND"),
            ("lambda:*", "SECOND", "THIRD"),
            ("states:*", "THIRD", "4"),
        ]:
            assert world.ended(world.add(f"job of {old}"))["status"] == "COMPLETED"
            refused = world.aws.faults.fail(service, code="ExpiredTokenException", times=None, signed_by=old)
            job = world.add(f"job after {old}", row={"maxAttempts": 1})
            refused.wait(2)
            until(lambda: "credentials are refused" in daemon.readiness()[1].get("reason", ""))
            write(new)
            assert world.ended(job, 25)["status"] == "COMPLETED"
            until(lambda: daemon.readiness()[0] == 200)
            refused.cancel()
        assert daemon.stop() == 0
