"""Job systems beside a cloud without a function: an HTTP API, services of AWS, and a file of sources for both."""

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from tests.e2e.cloud import Cloud, Daemon, until
from tests.http_jobs.server import HttpJobs
from tests.moto_server import Moto

TEN_LINES = """\
reports:
  http: {url: "HTTP_JOBS/jobs/{jobId}", auth: {bearer: {env: REPORTS_TOKEN}}}
  status: body.state
  in_progress: [RUNNING]
  completed: [DONE]
  failed: [FAILED]
  result: body.links
  reason: body.message
  interval_seconds: 1
nightly-etl: {preset: glue-job-run, with: {JobName: NIGHTLY}, interval_seconds: 1}
"""
ROLE = "arn:aws:iam::000000000000:role/any"
SECRET = "s3cret-of-the-reports"
SMALL = {
    "StartAt": "Wait",
    "States": {
        "Wait": {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:dynamodb:putItem.waitForTaskToken",
            "Parameters": {
                "TableName": "TOKENS",
                "Item": {
                    "jobId": {"S.$": "$.jobId"},
                    "taskToken": {"S.$": "$$.Task.Token"},
                    "status": {"S": "POLLING"},
                    "source": {"S.$": "$.source"},
                },
            },
            "End": True,
        }
    },
}


class Sources:
    """A cloud without a function of ours, the job systems beside it, and the environment that names both."""

    def __init__(self, cloud: Cloud, http: HttpJobs, moto: Moto, folder: Path) -> None:
        self.cloud = cloud
        self.http = http
        self.moto = moto
        self.glue = moto.client("glue")
        self.etl = f"nightly-{uuid.uuid4().hex[:8]}"
        self.glue.create_job(
            Name=self.etl, Role=ROLE, Command={"Name": "glueetl", "ScriptLocation": "s3://scripts/etl"}
        )
        file = folder / "sources.yaml"
        file.write_text(TEN_LINES.replace("HTTP_JOBS", http.url).replace("NIGHTLY", self.etl), "utf-8")
        self.log = folder / "log"
        self.settings = {
            "SCHEDULER_SOURCES": str(file),
            "REPORTS_TOKEN": SECRET,
            **moto.environment("glue", "batch", "codebuild", "rds"),
        }

    def run(self, *arguments: str, **settings: str) -> "CompletedProcess[str]":
        """Run a command, and see that it tells no secret."""
        done = self.cloud.run(*arguments, **self.settings | settings)
        assert SECRET not in done.stdout + done.stderr
        return done

    @contextmanager
    def daemon(self, **settings: str) -> Iterator[Daemon]:
        """Run the daemon until it is ready, and see that it stops well and tells no secret."""
        with self.cloud.daemon(self.log, **self.settings | settings) as daemon:
            until(lambda: daemon.readiness()[0] == 200)
            yield daemon
            assert daemon.stop() == 0
        assert SECRET not in self.log.read_text("utf-8")
        assert self.log.with_suffix(".err").read_text("utf-8") == ""

    def job(self, polls: int = 2) -> str:
        """Give a job of the HTTP API."""
        job_id = f"report-{uuid.uuid4().hex[:8]}"
        self.http.polls[job_id] = polls
        return job_id

    def etl_run(self) -> str:
        """Give a run of the Glue job."""
        self.moto.moves("glue::job_run", 2)
        run_id: str = self.glue.start_job_run(JobName=self.etl)["JobRunId"]
        return run_id

    def waits(self, job_id: str, source: str, workflow: str = "small") -> str:
        """Start an execution that waits for a job, wait for its row, and give the execution's ARN."""
        arn = f"arn:aws:states:us-east-1:000000000000:stateMachine:{self.cloud.state_machine}-{workflow}"
        given = json.dumps({"jobId": job_id, "source": source})
        execution: str = self.cloud.states.start_execution(stateMachineArn=arn, input=given)["executionArn"]
        until(lambda: job_id in self.rows())
        return execution

    def snapshot(self) -> str:
        """Give a snapshot of a database."""
        rds, name = self.moto.client("rds"), f"snapshot-{uuid.uuid4().hex[:8]}"
        rds.create_db_instance(DBInstanceIdentifier=f"of-{name}", DBInstanceClass="db.t3.micro", Engine="postgres")
        rds.create_db_snapshot(DBSnapshotIdentifier=name, DBInstanceIdentifier=f"of-{name}")
        return name

    def failure(self, execution: str) -> tuple[str, str]:
        """Give the error and the cause of an execution, once it has failed."""
        states = self.cloud.states
        until(lambda: states.describe_execution(executionArn=execution)["status"] != "RUNNING")
        held = states.describe_execution(executionArn=execution)
        return held["error"], held["cause"]

    def rows(self) -> dict[str, dict[str, Any]]:
        """Give the rows by their keys."""
        return {row["jobId"]: row for row in self.cloud.rows()}
