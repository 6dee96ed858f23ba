"""What create-job calls is throttled, out of order or out of reach: one name for all, and nothing half done."""

import traceback
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError

from create_job import UnavailableError
from tests.unit.lambdas.creating import FIRST, SECOND, Creating, event, keyed_api
from tests.unit.lambdas.lambda_fakes import FakeDynamoDB, FakeFunctions, client_error

OUT_OF_REACH: Any = {"endpoint_url": "http://x", "error": OSError()}
PASSING = {
    "throttled": client_error("ThrottlingException", "slow down"),
    "provisioned": client_error("ProvisionedThroughputExceededException", "slow down"),
    "limited": client_error("RequestLimitExceeded", "slow down"),
    "too many": client_error("TooManyRequestsException", "slow down", status=429),
    "out of order": client_error("InternalServerError", "oh", status=500),
    "no reply": ReadTimeoutError(**OUT_OF_REACH),
    "no connection": ConnectTimeoutError(**OUT_OF_REACH),
    "no endpoint": EndpointConnectionError(**OUT_OF_REACH),
}


@pytest.fixture
def creating() -> Creating:
    return Creating(FakeDynamoDB(), keyed_api())


@pytest.mark.parametrize("operation", ["put_item", "get_item", "update_item"])
@pytest.mark.parametrize("trouble", PASSING.values(), ids=PASSING)
def test_a_table_that_is_throttled_or_out_of_reach_is_told_by_one_name_that_step_functions_retries(
    creating: Creating, operation: str, trouble: Exception
) -> None:
    if operation != "put_item":
        creating.create(event(FIRST))
    creating.table.fail(operation, trouble)

    with pytest.raises(UnavailableError) as caught:
        creating.create(event(SECOND, retry=1))

    assert SECOND not in "".join(traceback.format_exception(caught.value))
    creating.table.failures.clear()
    job_id = creating.create(event("third-secret", retry=2))
    assert (list(creating.table.items), creating.row(job_id)["taskToken"]) == ([job_id], "third-secret")


@pytest.mark.parametrize("trouble", PASSING.values(), ids=PASSING)
def test_an_api_that_is_throttled_or_out_of_reach_is_worth_another_try_too(
    trouble: Exception,
) -> None:
    with pytest.raises(UnavailableError):
        Creating(FakeDynamoDB(), FakeFunctions(lambda _: trouble)).create(event(FIRST))


@pytest.mark.parametrize("code", ["AccessDeniedException", "ResourceNotFoundException", "ValidationException"])
def test_what_no_other_try_would_mend_is_raised_as_it_is(creating: Creating, code: str) -> None:
    creating.table.fail("put_item", client_error(code))

    with pytest.raises(ClientError, match=code):
        creating.create(event(FIRST))


def test_a_tokens_text_in_a_services_message_is_masked(creating: Creating) -> None:
    creating.table.fail("put_item", client_error("ThrottlingException", f"no more of {FIRST}"))

    with pytest.raises(UnavailableError) as caught:
        creating.create(event(FIRST))

    assert FIRST not in "".join(traceback.format_exception(caught.value))
