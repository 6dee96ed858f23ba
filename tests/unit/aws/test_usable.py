"""Waiting until AWS lets one use what was just made."""

import pytest
from botocore.exceptions import ClientError

from scheduler.aws.usable import until_usable, with_new_role
from scheduler.errors import CloudError
from tests.unit.lambdas.lambda_fakes import client_error

NOT_YET = client_error("InvalidParameterValueException", "The role defined for the function cannot be assumed")
NOT_YET_BY_STATES = client_error("AccessDeniedException", "Neither ... is authorized to assume the provided role.")


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


class Request:
    """A request that is refused so many times."""

    def __init__(self, *refusals: ClientError) -> None:
        self.refusals = list(refusals)
        self.made = 0

    async def __call__(self) -> None:
        self.made += 1
        if self.refusals:
            raise self.refusals.pop(0)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.mark.parametrize("refusal", [NOT_YET, NOT_YET_BY_STATES])
async def test_a_role_that_is_not_known_yet_is_waited_for(time: Time, refusal: ClientError) -> None:
    request = Request(refusal, refusal, refusal)
    await with_new_role(request, sleep=time.sleep, monotonic=time.monotonic)
    assert (request.made, time.now) == (4, 6)


async def test_a_role_that_never_comes_is_waited_for_a_minute(time: Time) -> None:
    request = Request(*[NOT_YET] * 100)
    with pytest.raises(ClientError, match="cannot be assumed"):
        await with_new_role(request, sleep=time.sleep, monotonic=time.monotonic)
    assert time.now == 62


@pytest.mark.parametrize(
    "refusal",
    [
        client_error("InvalidParameterValueException", "Unzipped size must be smaller than 262144000 bytes"),
        client_error("ServiceException", "could not assume anything"),
    ],
)
async def test_any_other_refusal_is_raised_at_once(time: Time, refusal: ClientError) -> None:
    request = Request(refusal)
    with pytest.raises(ClientError):
        await with_new_role(request, sleep=time.sleep, monotonic=time.monotonic)
    assert (request.made, time.now) == (1, 0)


async def test_a_resource_is_looked_at_until_it_can_be_used(time: Time) -> None:
    looks = iter([False, False, True])

    async def usable() -> bool:
        return next(looks)

    await until_usable(usable, "table t", sleep=time.sleep, monotonic=time.monotonic)
    assert time.now == 0.5


async def test_a_resource_that_never_can_be_used_is_an_error_that_names_it(time: Time) -> None:
    async def usable() -> bool:
        return False

    with pytest.raises(CloudError, match="table t is not usable after 300 s"):
        await until_usable(usable, "table t", sleep=time.sleep, monotonic=time.monotonic)
    assert 300 < time.now < 301
