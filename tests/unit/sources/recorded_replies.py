"""Replies of services to what presets ask, made up in the shape of the models, and what each says of its job."""

from dataclasses import dataclass, field
from typing import Any

from scheduler.core.check_replies import Completed, Failed, InProgress, Report, Unanswered


@dataclass(frozen=True, slots=True)
class Recorded:
    """An output (in a batch a job's own item) and the report that it stands for."""

    preset: str
    reply: dict[str, Any]
    means: Report
    turned: dict[str, Any] = field(default_factory=dict)
    """What an entry says over its preset."""


GOES_ON = InProgress()
RUN = {"Id": "jr_1", "JobName": "nightly"}
TASK = "arn:aws:ecs:us-east-1:000000000000:task/blue/1f"
EXIT_0 = {"name": "app", "exitCode": 0}
EXIT_3 = {"name": "app", "exitCode": 3}
STACK = "arn:aws:cloudformation:us-east-1:000000000000:stack/blue/1f"
NO_ROWS = {"results": [], "statistics": {"recordsMatched": 4.0}}
S3_JOB = "arn:aws:s3:us-east-1:000000000000:job/1f"
IOT_JOB = "arn:aws:iot:us-east-1:000000000000:job/1f"


def ecs(status: str, *containers: dict[str, Any], **more: str) -> dict[str, Any]:
    return {"taskArn": TASK, "lastStatus": status, "containers": list(containers)} | more


def crawler(state: str, **last: str) -> dict[str, Any]:
    return {"Crawler": {"Name": "raw", "State": state} | ({"LastCrawl": last} if last else {})}


def s3_batch(status: str, failed: int = 0) -> dict[str, Any]:
    return {"Job": {"JobArn": S3_JOB, "Status": status, "ProgressSummary": {"NumberOfTasksFailed": failed}}}


def dms(status: str, reason: str | None = None, errored: int = 0) -> dict[str, Any]:
    task: dict[str, Any] = {"Status": status, "ReplicationTaskStats": {"TablesErrored": errored}}
    return {"ReplicationTasks": [task | ({"StopReason": f"Stop Reason {reason}"} if reason else {})]}


def iot(status: str, **things: int) -> dict[str, Any]:
    return {"job": {"jobArn": IOT_JOB, "status": status, "jobProcessDetails": things}}


def s3_done(failed: int) -> Completed:
    return Completed({"JobArn": S3_JOB, "ProgressSummary": {"NumberOfTasksFailed": failed}, "Report": None})


RECORDED = [
    Recorded("glue-job-run", {"JobRun": RUN | {"JobRunState": "WAITING"}}, GOES_ON),
    Recorded(
        "glue-job-run",
        {"JobRun": RUN | {"JobRunState": "SUCCEEDED", "ExecutionTime": 61}},
        Completed({"JobRunId": "jr_1", "CompletedOn": None, "ExecutionTime": 61}),
    ),
    Recorded("glue-job-run", {"JobRun": RUN | {"JobRunState": "ERROR", "ErrorMessage": "no disk"}}, Failed("no disk")),
    Recorded(
        "glue-job-run", {"JobRun": RUN | {"JobRunState": "EXPIRED"}}, Failed("the job has failed with status EXPIRED")
    ),
    Recorded("glue-crawler", crawler("READY"), GOES_ON),
    Recorded("glue-crawler", crawler("RUNNING", Status="SUCCEEDED"), GOES_ON),
    Recorded("glue-crawler", crawler("STOPPING", Status="FAILED"), GOES_ON),
    Recorded(
        "glue-crawler",
        crawler("READY", Status="SUCCEEDED"),
        Completed({"Name": "raw", "DatabaseName": None, "StartTime": None}),
    ),
    Recorded("glue-crawler", crawler("READY", Status="FAILED", ErrorMessage="no table"), Failed("no table")),
    Recorded("athena-query", {"QueryExecution": {"Status": {"State": "QUEUED"}}}, GOES_ON),
    Recorded(
        "athena-query",
        {
            "QueryExecution": {
                "Status": {"State": "SUCCEEDED"},
                "ResultConfiguration": {"OutputLocation": "s3://out/1.csv"},
                "Statistics": {"DataScannedInBytes": 10},
            }
        },
        Completed({"OutputLocation": "s3://out/1.csv", "DataScannedInBytes": 10}),
    ),
    Recorded(
        "athena-query",
        {"QueryExecution": {"Status": {"State": "FAILED", "StateChangeReason": "line 1:8"}}},
        Failed("line 1:8"),
    ),
    Recorded("batch-job", {"jobId": "1f", "status": "RUNNABLE"}, GOES_ON),
    Recorded(
        "batch-job",
        {"jobId": "1f", "status": "SUCCEEDED", "container": {"exitCode": 0, "logStreamName": "a/b"}},
        Completed({"startedAt": None, "stoppedAt": None, "exitCode": 0, "logStreamName": "a/b"}),
    ),
    Recorded(
        "batch-job",
        {"jobId": "1f", "status": "FAILED", "statusReason": "host gone", "container": {"exitCode": 1}},
        Failed("host gone"),
    ),
    Recorded("ecs-task", ecs("DEPROVISIONING", EXIT_0), GOES_ON),
    Recorded(
        "ecs-task",
        ecs("STOPPED", EXIT_0, stopCode="EssentialContainerExited"),
        Completed({"taskArn": TASK, "stoppedAt": None, "containers": [EXIT_0]}),
    ),
    Recorded(
        "ecs-task",
        ecs("STOPPED", EXIT_0),
        Completed({"taskArn": TASK, "stoppedAt": None, "containers": [EXIT_0]}),
    ),
    Recorded(
        "ecs-task",
        ecs("STOPPED", EXIT_3, stopCode="EssentialContainerExited", stoppedReason="Essential container in task exited"),
        Failed("app ended with exit code 3"),
    ),
    Recorded(
        "ecs-task",
        ecs("STOPPED", EXIT_0, stopCode="UserInitiated", stoppedReason="by hand"),
        Failed("by hand"),
    ),
    Recorded(
        "ecs-task",
        ecs("STOPPED", {"name": "app"}, stopCode="TaskFailedToStart", stoppedReason="no image"),
        Failed("no image"),
    ),
    Recorded("ecs-task", {"taskArn": TASK, "lastStatus": "STOPPED", "stoppedReason": "gone"}, Failed("gone")),
    Recorded(
        "ecs-task", ecs("HIBERNATED", EXIT_3), Unanswered("the source's reply has an unknown status: 'HIBERNATED'")
    ),
    Recorded("codebuild-build", {"id": "p:1f", "buildStatus": "IN_PROGRESS"}, GOES_ON),
    Recorded(
        "codebuild-build",
        {
            "id": "p:1f",
            "buildStatus": "FAILED",
            "phases": [
                {"phaseType": "INSTALL", "phaseStatus": "SUCCEEDED", "contexts": [{"message": ""}]},
                {"phaseType": "BUILD", "phaseStatus": "FAILED", "contexts": [{"message": "make: exit 2"}]},
                {"phaseType": "COMPLETED"},
            ],
        },
        Failed("make: exit 2"),
    ),
    Recorded("textract-document-analysis", {"JobStatus": "IN_PROGRESS"}, GOES_ON),
    Recorded(
        "textract-document-analysis",
        {"JobStatus": "SUCCEEDED", "DocumentMetadata": {"Pages": 2}, "Blocks": [{"Id": "b"}]},
        Completed({"JobStatus": "SUCCEEDED", "DocumentMetadata": {"Pages": 2}, "Warnings": None}),
    ),
    Recorded(
        "textract-document-analysis",
        {"JobStatus": "PARTIAL_SUCCESS"},
        Failed("the job has failed with status PARTIAL_SUCCESS"),
    ),
    Recorded(
        "textract-document-analysis",
        {"JobStatus": "PARTIAL_SUCCESS", "Warnings": [{"ErrorCode": "E", "Pages": [2]}]},
        Completed(
            {
                "JobStatus": "PARTIAL_SUCCESS",
                "DocumentMetadata": None,
                "Warnings": [{"ErrorCode": "E", "Pages": [2]}],
            }
        ),
        turned={"completed": ["SUCCEEDED", "PARTIAL_SUCCESS"]},
    ),
    Recorded("dms-replication-task", dms("ready"), GOES_ON),
    Recorded("dms-replication-task", dms("running", "FULL_LOAD_ONLY_FINISHED", 1), GOES_ON),
    Recorded("dms-replication-task", dms("stopped", "RECYCLE_TASK"), GOES_ON),
    Recorded(
        "dms-replication-task",
        dms("stopped", "FULL_LOAD_ONLY_FINISHED"),
        Completed({"StopReason": "Stop Reason FULL_LOAD_ONLY_FINISHED", "ReplicationTaskStats": {"TablesErrored": 0}}),
    ),
    Recorded(
        "dms-replication-task",
        dms("stopped", "FULL_LOAD_ONLY_FINISHED", 2),
        Failed("Stop Reason FULL_LOAD_ONLY_FINISHED"),
    ),
    Recorded("dms-replication-task", dms("stopped", "FATAL_ERROR"), Failed("Stop Reason FATAL_ERROR")),
    Recorded("dms-replication-task", dms("stopped"), Failed("the job has failed with status stopped")),
    Recorded("step-functions-execution", {"status": "PENDING_REDRIVE"}, GOES_ON),
    Recorded(
        "step-functions-execution",
        {"executionArn": "arn:e", "status": "SUCCEEDED", "output": '{"a": 1}'},
        Completed({"executionArn": "arn:e", "output": '{"a": 1}'}),
    ),
    Recorded("step-functions-execution", {"status": "TIMED_OUT", "error": "States.Timeout"}, Failed("States.Timeout")),
    Recorded("ssm-command-invocation", {"Status": "Delayed"}, GOES_ON),
    Recorded(
        "ssm-command-invocation",
        {"Status": "Failed", "StatusDetails": "Undeliverable", "StandardErrorContent": ""},
        Failed("Undeliverable"),
    ),
    Recorded("cloudformation-stack", {"Stacks": [{"StackStatus": "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"}]}, GOES_ON),
    Recorded(
        "cloudformation-stack",
        {"Stacks": [{"StackId": STACK, "StackStatus": "CREATE_COMPLETE"}]},
        Completed({"StackId": STACK, "StackStatus": "CREATE_COMPLETE", "Outputs": None}),
    ),
    Recorded(
        "cloudformation-stack",
        {"Stacks": [{"StackStatus": "UPDATE_ROLLBACK_COMPLETE", "StackStatusReason": "no such role"}]},
        Failed("no such role"),
    ),
    Recorded("logs-insights-query", {"status": "Unknown"}, GOES_ON),
    Recorded("logs-insights-query", NO_ROWS | {"status": "Complete"}, Completed({"recordsMatched": 4.0})),
    Recorded("logs-insights-query", NO_ROWS | {"status": "Complete"}, Completed([]), turned={"result": "results"}),
    Recorded("logs-insights-query", {"status": "Timeout"}, Failed("the job has failed with status Timeout")),
    Recorded("s3-batch-job", s3_batch("Suspended"), GOES_ON),
    Recorded("s3-batch-job", s3_batch("Active", failed=2), GOES_ON),
    Recorded("s3-batch-job", s3_batch("Complete"), s3_done(0)),
    Recorded(
        "s3-batch-job", s3_batch("Complete", failed=2), Failed("the job has failed with status CompleteWithErrors")
    ),
    Recorded(
        "s3-batch-job",
        s3_batch("Complete", failed=2),
        s3_done(2),
        turned={"completed": ["Complete", "CompleteWithErrors"]},
    ),
    Recorded("iot-job", iot("IN_PROGRESS", numberOfFailedThings=1), GOES_ON),
    Recorded(
        "iot-job",
        iot("COMPLETED", numberOfFailedThings=0, numberOfSucceededThings=2),
        Completed(
            {
                "jobArn": IOT_JOB,
                "completedAt": None,
                "jobProcessDetails": {"numberOfFailedThings": 0, "numberOfSucceededThings": 2},
            }
        ),
    ),
    Recorded(
        "iot-job",
        iot("COMPLETED", numberOfRejectedThings=1),
        Failed("the job has failed with status COMPLETED_WITH_ERRORS"),
    ),
]
