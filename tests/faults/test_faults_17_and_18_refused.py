"""Faults 17 and 18: the cloud denies access for a time, and answers that Step Functions would not take."""

from pathlib import Path
from typing import Any

import pytest

from tests.faults.world import Daemon, World, until

CODES = {
    "AccessDeniedException": "access is denied",
    "ExpiredTokenException": "the credentials are refused",
}
"""What a service says, and what anybody may read of it."""


def unready_for(daemon: Daemon, reason: str) -> tuple[int, dict[str, Any]]:
    """Wait until a daemon names a reason for being unready, and give what it says."""
    until(lambda: reason in daemon.readiness()[1].get("reason", ""))
    return daemon.readiness()


@pytest.mark.parametrize("operation", ["dynamodb:*", "lambda:*", "states:*"])
def test_fault_17_access_is_denied_for_a_time(world: World, operation: str) -> None:
    with world.daemon() as daemon:
        for code, reason in CODES.items():
            denied = world.aws.faults.deny(operation, code=code)
            job = world.add(f"job of {code}", row={"maxAttempts": 1_000})
            seen = unready_for(daemon, reason)
            assert (seen[0], seen[1]["status"], len(seen[1]["reason"].splitlines())) == (503, "unready", 1)
            assert "Exception" not in seen[1]["reason"]
            assert (world.row(job)["status"], world.answers(job)) == ("POLLING", [])
            denied.cancel()
            assert world.ended(job)["status"] == "COMPLETED"
            until(lambda: daemon.readiness()[0] == 200)
            assert (world.answers(job), world.aws.jobs.checks(job.job_id)) == (["SendTaskSuccess"], 1)
        assert daemon.stop() == 0
    complaints = world.complaints(daemon)
    assert complaints
    for line in complaints:
        assert "exception" not in line
        assert any(code in (line.get("error") or line["trouble"]) for code in CODES)


def test_fault_17_credentials_come_late(world: World, tmp_path: Path) -> None:
    job = world.add()
    untouched = world.item(job)
    # An address of this machine in AWS_ENDPOINT_URL would be given credentials of its own.
    endpoint = world.environment.pop("AWS_ENDPOINT_URL")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del world.environment[name]
    world.environment |= {f"AWS_ENDPOINT_URL_{service}": endpoint for service in ("DYNAMODB", "LAMBDA", "SFN")}
    credentials = tmp_path / "credentials"
    nowhere = {"AWS_SHARED_CREDENTIALS_FILE": str(credentials), "AWS_CONFIG_FILE": "/dev/null"}
    with world.daemon(AWS_EC2_METADATA_DISABLED="true", **nowhere) as daemon:
        line, *_ = until(lambda: [line for line in daemon.events("trouble.began") if line["part"] == "token table"])
        assert "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile or a role" in line["error"]
        assert daemon.readiness()[0] == 503
        assert (world.item(job), sum(world.aws.calls.values())) == (untouched, 0)
        credentials.write_text("[default]\naws_access_key_id = test\naws_secret_access_key = test\n", "utf-8")
        assert world.ended(job)["status"] == "COMPLETED"
        assert daemon.stop() == 0
        parts = [one["part"] for one in world.complaints(daemon) if one["event"] == "trouble.began"]
        assert sorted(parts) == ["source poc-simulated-api", "token table"]
        assert len(world.complaints(daemon)) == 2


def test_fault_18_an_answer_that_step_functions_would_not_take(world: World) -> None:
    jobs = {
        "large": world.add("large", always="oversized"),
        "text": world.add("text", always="not_json", row={"maxAttempts": 2}),
        "nan": world.add("nan", always="nan", row={"maxAttempts": 2}),
        "no-json": world.add("no-json"),
        "too-long": world.add("too-long"),
    }
    # Step Functions' own word, where it knows better than we do what it takes.
    world.aws.faults.fail("SendTaskSuccess", code="InvalidOutput", containing="no-json")
    world.aws.faults.fail("SendTaskSuccess", code="ValidationException", containing="too-long")
    with world.daemon() as daemon:
        rows = {name: world.ended(job) for name, job in jobs.items()}
        assert daemon.stop() == 0
    answers = {name: world.aws.ledger[job.token] for name, job in jobs.items()}
    assert {name: [(one.operation, one.error) for one in given] for name, given in answers.items()} == {
        "large": [("SendTaskFailure", "OutputTooLarge")],
        "text": [("SendTaskFailure", "MaxAttemptsExceeded")],
        "nan": [("SendTaskFailure", "MaxAttemptsExceeded")],
        "no-json": [("SendTaskFailure", "InvalidOutput")],
        "too-long": [("SendTaskFailure", "InvalidOutput")],
    }
    causes = {name: str(given[0].cause) for name, given in answers.items()}
    assert "Step Functions takes 262144" in causes["large"]
    assert "reply is not JSON" in causes["text"]
    assert "reply is not JSON" in causes["nan"]
    assert "InvalidOutput" in causes["no-json"]
    assert "ValidationException" in causes["too-long"]
    assert {name: row["status"] for name, row in rows.items()} == {
        name: "MAX_ATTEMPTS" if name in {"text", "nan"} else "FAILED" for name in jobs
    }
    assert world.aws.jobs.all_checks() == {"large": 1, "text": 2, "nan": 2, "no-json": 1, "too-long": 1}
    offered = {name: world.aws.ledger.offered(job.token) for name, job in jobs.items()}
    assert offered == {"large": 1, "text": 1, "nan": 1, "no-json": 2, "too-long": 2}
