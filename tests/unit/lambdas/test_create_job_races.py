"""A waiting state that is tried again while somebody else writes its row."""

from typing import Any

import pytest

from create_job import TokenConflictError, UnavailableError
from tests.unit.lambdas.creating import FIRST, SECOND, Creating, event
from tests.unit.lambdas.lambda_fakes import FakeDynamoDB, FakeFunctions


class Racing(FakeDynamoDB):
    """A table in which somebody else is quicker, just before the next update."""

    def __init__(self) -> None:
        super().__init__()
        self.quicker: list[dict[str, Any]] = []

    def update_item(self, **call: Any) -> dict[str, Any]:
        if self.quicker:
            self.items[call["Key"]["jobId"]["S"]] |= self.quicker.pop(0)
        return super().update_item(**call)


def test_a_still_newer_attempt_that_is_quicker_keeps_its_token() -> None:
    table = Racing()
    creating = Creating(table, FakeFunctions(lambda _: {"jobId": "job-1"}))
    creating.create(event(FIRST))
    table.quicker = [{"taskToken": {"S": "third-secret"}, "entry": {"S": f"{creating.keys[0]}#2"}}]

    with pytest.raises(TokenConflictError, match="a later attempt"):
        creating.create(event(SECOND, retry=1))

    assert creating.row("job-1")["taskToken"] == "third-secret"


def test_a_row_that_is_found_closed_meanwhile_is_taken_all_the_same() -> None:
    table = Racing()
    creating = Creating(table, FakeFunctions(lambda _: {"jobId": "job-1"}))
    creating.create(event(FIRST))
    table.quicker = [{"status": {"S": "CLOSED"}}]

    creating.create(event(SECOND, retry=1))

    assert (creating.row("job-1")["taskToken"], creating.row("job-1")["status"]) == (SECOND, "POLLING")


def test_a_row_that_never_holds_still_is_left_to_step_functions_next_try() -> None:
    table = Racing()
    creating = Creating(table, FakeFunctions(lambda _: {"jobId": "job-1"}))
    creating.create(event(FIRST))
    table.quicker = [{"status": {"S": status}} for status in ("CLOSED", "POLLING") * 10]

    with pytest.raises(UnavailableError, match="job-1"):
        creating.create(event(SECOND, retry=1))
