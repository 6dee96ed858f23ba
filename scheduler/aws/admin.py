"""Reading for people: rows and functions as they stand."""

from typing import Any

from scheduler.aws.clients import AdminClients
from scheduler.aws.sdk_errors import translated
from scheduler.core.attributes import from_item
from scheduler.errors import MissingError

_MOST_ROWS = 1_000  # read for one look; a table of millions is not for a terminal
_SECRET = "taskToken"  # noqa: S105  the name of the attribute that is left out


async def read_rows(clients: AdminClients, table: str) -> list[dict[str, Any]]:
    """Read up to a thousand rows of a table, without their tokens. Raises MissingError or CloudError."""
    rows: list[dict[str, Any]] = []
    parameters: dict[str, Any] = {"TableName": table}
    with translated("table", table):
        while len(rows) < _MOST_ROWS:
            page: Any = await clients.dynamodb.scan(**parameters)
            rows += [{k: v for k, v in from_item(item).items() if k != _SECRET} for item in page["Items"]]
            if not page.get("LastEvaluatedKey"):
                break
            parameters["ExclusiveStartKey"] = page["LastEvaluatedKey"]
    return rows


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
