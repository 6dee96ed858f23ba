"""Health: ready for a time after a tick, and unready with a reason while something is in the way."""

import time
from typing import Any

import pytest

from scheduler.web.health import Health
from tests.unit.conftest import Logs

pytestmark = pytest.mark.usefixtures("logs")


class Watch:
    """A clock that a test moves, in seconds."""

    def __init__(self) -> None:
        self.at = 1_000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def health(watch: Watch) -> Health:
    return Health(watch)


def ready(health: Health) -> bool:
    return health.readiness()[0]


def shown(health: Health) -> dict[str, Any]:
    is_ready, found = health.readiness()
    assert found["status"] == ("ready" if is_ready else "unready")
    assert ("reason" in found) is not is_ready
    return found


# --- ticks


def test_it_starts_unready(health: Health) -> None:
    assert health.readiness() == (False, {"status": "unready", "reason": "no tick has ended yet"})


def test_a_tick_makes_it_ready_and_shows_how_long_ago_that_was(health: Health, watch: Watch) -> None:
    health.ticked(60)
    watch.at += 12.34
    assert health.readiness() == (True, {"status": "ready", "lastTickSecondsAgo": 12.3})


def test_a_tick_is_good_for_a_time_and_no_longer(health: Health, watch: Watch) -> None:
    health.ticked(60)
    watch.at += 60
    assert ready(health)
    watch.at += 0.1
    reason = "the last tick ended too long ago"
    assert health.readiness() == (False, {"status": "unready", "reason": reason, "lastTickSecondsAgo": 60.1})


def test_each_tick_is_good_for_a_time_of_its_own(health: Health, watch: Watch) -> None:
    health.ticked(600)
    watch.at += 5
    health.ticked(10)
    watch.at += 11
    assert not ready(health)
    health.ticked(10)
    assert ready(health)


def test_the_clock_that_it_reads_is_the_monotonic_one() -> None:
    health = Health()
    before = time.monotonic()
    health.ticked(0)
    assert before <= health._good_until <= time.monotonic()


# --- trouble


def test_trouble_makes_it_unready_though_ticks_go_on(health: Health) -> None:
    health.ticked(60)
    health.troubled("answers", "throttled", "ThrottlingException: the whole text")
    assert shown(health)["reason"] == "answers: throttled"
    health.ticked(60)
    assert not ready(health)


def test_it_is_ready_again_once_the_trouble_is_over(health: Health) -> None:
    health.ticked(60)
    health.troubled("answers", "throttled", "")
    health.over("answers")
    assert ready(health)


def test_the_end_of_one_part_s_trouble_ends_no_other_s(health: Health) -> None:
    health.ticked(60)
    health.troubled("token table", "denied", "")
    health.troubled("answers", "throttled", "")
    assert shown(health)["reason"] == "answers: throttled; token table: denied"
    health.over("answers")
    assert shown(health)["reason"] == "token table: denied"
    health.over("heartbeats")
    assert not ready(health)


def test_what_is_in_trouble_but_keeps_nothing_from_being_made_is_a_warning(health: Health) -> None:
    health.ticked(60)
    health.troubled("source jobs", "throttled", "", unready=False)
    assert ready(health)
    assert shown(health)["warnings"] == ["source jobs: throttled"]
    health.over("source jobs")
    assert "warnings" not in shown(health)


def test_trouble_says_more_than_that_no_tick_has_ended(health: Health) -> None:
    health.troubled("token table", "does not exist", "")
    health.troubled("clock", "slow", "", unready=False)
    assert shown(health) == {
        "status": "unready",
        "reason": "token table: does not exist",
        "warnings": ["clock: slow"],
    }


def test_the_reason_is_the_last_one_told_and_never_the_whole_error(health: Health) -> None:
    health.troubled("source jobs", "does not exist", "function arn:aws:lambda:::secret does not exist")
    health.troubled("source jobs", "throttled", "TooManyRequestsException of arn:aws:lambda:::secret", unready=False)
    assert shown(health)["warnings"] == ["source jobs: throttled"]
    assert "secret" not in str(shown(health))


@pytest.mark.parametrize("after", [0.0, 119.9, 120.0])
def test_trouble_that_lasts_a_time_goes_on_until_then(health: Health, watch: Watch, after: float) -> None:
    health.ticked(1_000)
    health.troubled("answers", "throttled", "", lasts=120)
    watch.at += after
    health.refresh()
    assert not ready(health)


def test_trouble_that_lasts_a_time_is_over_after_it(health: Health, watch: Watch, logs: Logs) -> None:
    health.ticked(1_000)
    health.troubled("answers", "throttled", "", lasts=120)
    watch.at += 121
    health.refresh()
    assert ready(health)
    assert [line["event"] for line in logs()] == ["trouble.began", "trouble.over"]


def test_trouble_that_is_told_again_lasts_anew(health: Health, watch: Watch) -> None:
    health.ticked(1_000)
    health.troubled("answers", "throttled", "", lasts=120)
    watch.at += 100
    health.troubled("answers", "throttled", "", lasts=120)
    watch.at += 100
    health.refresh()
    assert not ready(health)


def test_trouble_without_such_a_time_is_over_by_nothing_but_its_end(health: Health, watch: Watch) -> None:
    health.troubled("token table", "denied", "")
    watch.at += 1e9
    health.refresh()
    assert shown(health)["reason"] == "token table: denied"


def test_a_part_that_works_is_out_of_trouble_once_it_has_refused_nothing_for_a_moment(
    health: Health, watch: Watch
) -> None:
    health.ticked(1_000)
    health.troubled("answers", "throttled", "")
    seen = []
    for _ in range(5):
        watch.at += 1
        health.worked("answers")
        health.refresh()
        seen.append(ready(health))
    assert seen == [False, False, False, False, True]


def test_a_part_that_refuses_again_within_that_moment_stays_in_the_same_spell(
    health: Health, watch: Watch, logs: Logs
) -> None:
    for _ in range(20):
        health.troubled("answers", "throttled", "", lasts=120)
        health.worked("answers")
        watch.at += 2
        health.refresh()
        assert not ready(health)
    assert [line["event"] for line in logs()] == ["trouble.began"]
    watch.at += 2
    health.refresh()
    assert [line["event"] for line in logs()] == ["trouble.began", "trouble.over"]


def test_a_part_in_no_trouble_may_work_as_long_as_it_likes(health: Health, logs: Logs) -> None:
    health.worked("answers")
    health.ticked(60)
    assert (ready(health), logs()) == (True, [])


# --- what is logged


def test_a_spell_is_one_warning_however_often_it_is_told(health: Health, watch: Watch, logs: Logs) -> None:
    for error in ("denied for the first time", "denied again", "denied for another reason"):
        health.troubled("token table", "access is denied", error)
        watch.at += 10
    (line,) = logs()
    assert (line["level"], line["event"], line["part"]) == ("warning", "trouble.began", "token table")
    assert (line["reason"], line["error"]) == ("access is denied", "denied for the first time")
    assert line["unready"] is True


def test_the_end_of_a_spell_is_told_with_how_long_it_lasted(health: Health, watch: Watch, logs: Logs) -> None:
    health.troubled("answers", "throttled", "slow down")
    watch.at += 12.34
    health.over("answers")
    health.over("answers")
    _, line = logs()
    assert (line["level"], line["event"], line["part"]) == ("info", "trouble.over", "answers")
    assert (line["reason"], line["lasted_seconds"]) == ("throttled", 12.3)


def test_a_part_that_is_in_no_trouble_ends_none(health: Health, logs: Logs) -> None:
    health.over("answers")
    assert logs() == []


def test_each_spell_is_told(health: Health, logs: Logs) -> None:
    for _ in range(2):
        health.troubled("answers", "throttled", "slow down")
        health.over("answers")
    assert [line["event"] for line in logs()] == ["trouble.began", "trouble.over"] * 2


def test_trouble_that_grows_is_told_once_more_and_trouble_that_shrinks_is_not(health: Health, logs: Logs) -> None:
    health.troubled("source jobs", "throttled", "slow down", unready=False)
    health.troubled("source jobs", "does not exist", "gone")
    health.troubled("source jobs", "does not exist", "gone")
    health.troubled("source jobs", "throttled", "slow down", unready=False)
    began, grew = logs()
    assert (began["event"], began["unready"]) == ("trouble.began", False)
    assert (grew["level"], grew["event"], grew["part"]) == ("warning", "trouble.grew", "source jobs")
    assert (grew["reason"], grew["error"]) == ("does not exist", "gone")
    health.ticked(60)
    assert ready(health)
