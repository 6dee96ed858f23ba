"""What is refused for the time being is asked again, and nothing else is."""

import pytest

from scheduler.aws.patience import LONGEST_SECONDS, Patience
from scheduler.core.service_calls import Refusal
from scheduler.errors import CloudError, MissingError


class Time:
    """A clock that goes on where somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Call:
    """A call that is refused so many times, and then served."""

    def __init__(self, error: CloudError, times: int) -> None:
        self.error = error
        self.left = times
        self.made = 0

    async def __call__(self) -> str:
        self.made += 1
        if self.left:
            self.left -= 1
            raise self.error
        return "served"


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def patience(time: Time, told: list[str]) -> Patience:
    return Patience(told.append, lambda: time.now, time.sleep)


def lost(cause: BaseException) -> CloudError:
    error = CloudError("no reply")
    error.__cause__ = cause
    return error


async def test_what_is_served_at_once_is_not_waited_for(patience: Patience, time: Time, told: list[str]) -> None:
    assert await patience.served(Call(CloudError("never raised"), 0)) == "served"
    assert (time.slept, told) == ([], [])


@pytest.mark.parametrize(
    "error",
    [
        CloudError("busy", Refusal.THROTTLED),
        CloudError("busy", Refusal.UNAVAILABLE),
        CloudError("busy", Refusal.UNREACHABLE),
        lost(TimeoutError()),
        lost(ConnectionResetError()),
    ],
)
async def test_what_may_pass_is_asked_again_ever_later(patience: Patience, time: Time, error: CloudError) -> None:
    call = Call(error, 4)
    assert await patience.served(call) == "served"
    assert call.made == 5
    for slept, longest in zip(time.slept, [1, 2, 4, 8], strict=True):
        assert longest / 2 <= slept <= longest


@pytest.mark.parametrize(
    "error",
    [
        MissingError("table", "t"),
        CloudError("no", Refusal.DENIED),
        CloudError("no", Refusal.CREDENTIALS),
        CloudError("wrong"),
        lost(type("ParamValidationError", (Exception,), {})()),
    ],
)
async def test_what_will_not_pass_is_raised_at_once(patience: Patience, time: Time, error: CloudError) -> None:
    with pytest.raises(CloudError) as raised:
        await patience.served(Call(error, 1))
    assert raised.value is error
    assert time.slept == []


async def test_throttling_is_borne_for_as_long_as_it_lasts(patience: Patience, time: Time) -> None:
    assert await patience.served(Call(CloudError("busy", Refusal.THROTTLED), 100)) == "served"
    assert time.now > 10 * LONGEST_SECONDS
    assert max(time.slept) <= 20


async def test_anything_else_is_borne_for_a_minute(patience: Patience, time: Time) -> None:
    with pytest.raises(CloudError, match="busy"):
        await patience.served(Call(CloudError("busy", Refusal.UNAVAILABLE), 100))
    assert LONGEST_SECONDS <= time.now < LONGEST_SECONDS + 20


async def test_trouble_is_told_at_once_and_then_now_and_then(patience: Patience, time: Time, told: list[str]) -> None:
    await patience.served(Call(CloudError("busy", Refusal.THROTTLED), 1))
    await patience.served(Call(CloudError("busy", Refusal.THROTTLED), 1))
    assert told == ["busy; trying again"]
    time.now += 30
    await patience.served(Call(CloudError("busy still", Refusal.THROTTLED), 1))
    assert told == ["busy; trying again", "busy still; trying again"]
