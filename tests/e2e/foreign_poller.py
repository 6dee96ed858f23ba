"""A poller that somebody else wrote: it knows `{"jobId"}` and the first block of a row's attributes, no more."""

import json
import os
from typing import Any

import boto3


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Poll one job, without claims, versions or due times."""
    table, source = os.environ["TOKENS"], os.environ["SOURCE"]
    key = {"jobId": {"S": event["jobId"]}}
    dynamodb, states = boto3.client("dynamodb"), boto3.client("stepfunctions")
    row = dynamodb.get_item(TableName=table, Key=key)["Item"]
    if row["status"]["S"] != "POLLING":
        return {"status": row["status"]["S"]}
    asked = boto3.client("lambda").invoke(
        FunctionName=source, Payload=json.dumps({"action": "CHECK_STATUS", "jobId": event["jobId"]})
    )
    report = json.load(asked["Payload"])
    status = "COMPLETED" if report["status"] == "COMPLETED" else "POLLING"
    if status == "COMPLETED":
        states.send_task_success(taskToken=row["taskToken"]["S"], output=json.dumps(report))
    dynamodb.update_item(
        TableName=table,
        Key=key,
        UpdateExpression="SET attemptCount = attemptCount + :one, #status = :status",
        ExpressionAttributeNames={"#status": "status"},
        ExpressionAttributeValues={":one": {"N": "1"}, ":status": {"S": status}},
    )
    return {"reconnected": True, "status": "COMPLETED"} if status == "COMPLETED" else {"status": "IN_PROGRESS"}
