"""Faults of ours within a poll, in each of the pollers: told, and without the tokens of what was polled."""

import traceback
from collections.abc import Awaitable, Sequence

import pytest

from scheduler.core.instant import parse_iso
from scheduler.core.invocation import Invocation, NoInvocation
from scheduler.core.row_reader import Found, Malformed, MalformedRowError
from scheduler.core.token import TaskToken, TokenTrace
from scheduler.core.token_row import TokenRow
from scheduler.engine.crashes import PollError, without_tokens
from scheduler.engine.direct_polling import DirectPoller
from scheduler.engine.handing_over import EventPoller, HandedOver
from scheduler.engine.lambda_polling import LambdaPoller
from scheduler.engine.poller import Poller
from scheduler.errors import SchedulerError
from tests.fakes import FakeSource, FakeStepFunctions, FakeTokenTable, fixed_policy, row_item, token_row

NOW = parse_iso("2026-01-01T00:10:00Z")
SECRETS = ("AQ-canary-" + "0123456789abcdef" * 4, "AQ-coalmine-" + "0123456789abcdef" * 4)
TOKENS = [TaskToken(secret) for secret in SECRETS]
FAULT = ValueError(f"it is '{SECRETS[0]}' and '{SECRETS[1]}' that broke it")


class BrokenFunctions:
    """Lambda as a fault of ours would have it."""

    async def invoke(self, name: str, payload: bytes) -> Invocation | NoInvocation:
        del name, payload
        raise FAULT

    async def hand_over(self, name: str, payload: bytes) -> NoInvocation | None:
        del name, payload
        raise FAULT

    async def probe(self, name: str) -> None:
        raise NotImplementedError


def fail(error: Exception) -> None:
    raise error from KeyError(SECRETS[0])


def raised_within(rows: Sequence[Found], error: Exception = FAULT) -> str:
    """Give all that is told of an error which was raised while rows were polled."""
    with pytest.raises(PollError) as raised, without_tokens(rows):
        fail(error)
    return "".join(traceback.format_exception(raised.value))


async def told_of(polling: Awaitable[object]) -> str:
    with pytest.raises(PollError) as raised:
        await polling
    return str(raised.value)


def test_a_crash_is_told_with_its_place_and_without_any_token() -> None:
    text = raised_within([token_row("a", token=TOKENS[0]), token_row("b", token=TOKENS[1])])
    assert f"ValueError: it is '{TOKENS[0]}' and '{TOKENS[1]}' that broke it" in text
    assert "in fail\n" in text
    assert [secret for secret in SECRETS if secret[:16] in text] == []


def test_a_token_of_which_only_a_trace_is_kept_is_not_shown_either() -> None:
    text = raised_within([token_row(token=TokenTrace(TOKENS[0]))], ValueError(f"it is {SECRETS[0]}"))
    assert text.endswith(f"ValueError: it is {TOKENS[0]}\n")


def test_of_a_row_that_cannot_be_understood_nothing_is_shown() -> None:
    malformed = Malformed("a", MalformedRowError("expiresAt", {"S": SECRETS[0]}, "is wrong"))
    assert raised_within([malformed]).endswith("PollError: ValueError\n")


def test_an_error_that_is_for_people_stays_as_it_is() -> None:
    error = SchedulerError("the table is gone")
    with pytest.raises(SchedulerError) as raised, without_tokens([]):
        raise error
    assert raised.value is error


@pytest.mark.parametrize("polled", ["with a claim", "from memory"])
async def test_a_crash_in_direct_mode_shows_no_token(polled: str) -> None:
    table = FakeTokenTable()
    table.put(row_item(taskToken={"S": SECRETS[0]}))
    source = FakeSource({"job-1": [ValueError(f"it is '{SECRETS[0]}'")]})
    poller = DirectPoller(table, FakeStepFunctions(), source, fixed_policy(), 10, lambda: NOW)
    (row,) = [row async for page in table.finder().pages(NOW) for row in page.rows]
    assert isinstance(row, TokenRow)
    polling = poller.poll_held(row) if polled == "from memory" else poller.poll([row], NOW)
    assert await told_of(polling) == f"ValueError: it is '{TOKENS[0]}'"


@pytest.mark.parametrize(
    "poller",
    [LambdaPoller(BrokenFunctions(), "poller", 2), EventPoller(BrokenFunctions(), "poller", 2, HandedOver(30))],
    ids=["waiting", "handing over"],
)
async def test_a_crash_in_lambda_mode_shows_no_token(poller: Poller) -> None:
    rows = [token_row("a", token=TOKENS[0]), token_row("b", token=TOKENS[1])]
    told = await told_of(poller.poll(rows, NOW))
    assert told == f"ValueError: it is '{TOKENS[0]}' and '{TOKENS[1]}' that broke it"
