"""Reading for people: rows and functions as they stand."""

from typing import Any

from scheduler.aws.clients import AdminClients
from scheduler.aws.sdk_errors import translated
from scheduler.aws.whereabouts import whereabouts
from scheduler.core.attributes import from_item
from scheduler.errors import CloudError, MissingError

_MOST_ROWS = 1_000  # read for one look; a table of millions is not for a terminal
_MOST_PAGES = 2
_KEY = "jobId"
_SECRET = "taskToken"  # noqa: S105  the name of the attribute that is left out


async def read_rows(clients: AdminClients, table: str) -> list[dict[str, Any]]:
    """Read up to a thousand rows of a table, each with its jobId, without tokens. Raises MissingError or CloudError."""
    rows: list[dict[str, Any]] = []
    parameters: dict[str, Any] = {"TableName": table}
    with translated("table", table):
        while len(rows) < _MOST_ROWS:
            page: Any = await clients.dynamodb.scan(**parameters)
            rows += [{k: v for k, v in from_item(item).items() if k != _SECRET} for item in page["Items"]]
            if any(_KEY not in row for row in rows):
                message = f"table {table} has another key than {_KEY} ({whereabouts(clients.dynamodb)})"
                raise CloudError(message)
            if not page.get("LastEvaluatedKey"):
                break
            parameters["ExclusiveStartKey"] = page["LastEvaluatedKey"]
    return rows


async def read_item(clients: AdminClients, table: str, job_id: str) -> dict[str, Any] | None:
    """Read what a table has under a job's id; None where that is nothing. Raises MissingError or CloudError."""
    with translated("table", table):
        reply: Any = await clients.dynamodb.get_item(TableName=table, Key={_KEY: {"S": job_id}}, ConsistentRead=True)
    return from_item(reply["Item"]) if "Item" in reply else None


async def executions_with_rows(clients: AdminClients, table: str) -> frozenset[str] | None:
    """Give the executions that have a row; None where the table is too large to be looked through.

    A row's key is its job's id, which only create-job knows, and the execution's history does not tell on every cloud
    whether create-job failed. A table of up to a thousand rows is read in a call or two, for 128 read units a megabyte.
    Raises MissingError or CloudError.
    """
    found: set[str] = set()
    parameters: dict[str, Any] = {"TableName": table, "ProjectionExpression": "executionId", "Limit": _MOST_ROWS}
    for _ in range(_MOST_PAGES):
        with translated("table", table):
            page: Any = await clients.dynamodb.scan(**parameters)
        found |= {item["executionId"]["S"] for item in page["Items"] if "S" in item.get("executionId", {})}
        if not page.get("LastEvaluatedKey"):
            return frozenset(found)
        parameters["ExclusiveStartKey"] = page["LastEvaluatedKey"]
    return None


async def read_functions(clients: AdminClients, names: list[str]) -> list[dict[str, Any]]:
    """Read how functions stand; one that does not exist is shown as missing. Raises CloudError."""
    functions = []
    for name in names:
        try:
            with translated("function", name):
                held: Any = await clients.functions.get_function_configuration(FunctionName=name)
        except MissingError:
            functions.append({"name": name, "status": "missing"})
            continue
        functions.append(
            {
                "name": name,
                "status": held.get("State", "Active"),
                "runtime": held.get("Runtime"),
                "timeoutSeconds": held.get("Timeout"),
                "lastModified": str(held.get("LastModified", "")),
            }
        )
    return functions
