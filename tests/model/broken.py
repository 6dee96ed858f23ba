"""Designs that are broken on purpose, each in one way: the search must find out all of them."""

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

from scheduler.core.attributes import Item
from scheduler.core.check_replies import Completed, InProgress, Unanswered
from scheduler.core.effects import Check, Claim, Delivered, Delivery, Effect, Mark, Release, Renew, Send, Write
from scheduler.core.instant import Instant
from scheduler.core.outcome import Outcome
from scheduler.core.poll_turn import Poll
from scheduler.core.protocol import poll
from scheduler.core.row_reader import read_row
from scheduler.core.timing import Policy
from scheduler.core.token_row import TokenRow
from tests.fakes import FakeTokenTable
from tests.model.positions import Protocol
from tests.model.scenario import EXPIRES_AT, JOB, Design

Perform = Callable[[Effect], Generator[Effect, Any, Any]]


def _amended(start: Callable[[Instant], Perform]) -> Protocol:
    """Give the real protocol with each of its effects performed another way."""

    def amended(row: TokenRow, policy: Policy, now: Instant, tick: Instant) -> Poll:
        polling, perform, told = poll(row, policy, now, tick), start(now), None
        try:
            while True:
                told = yield from perform(polling.send(told))
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome

    return amended


def _marks_before_it_answers(now: Instant) -> Perform:
    marked: list[TokenRow] = []

    def perform(effect: Effect) -> Generator[Effect, Any, Any]:
        told = None
        if isinstance(effect, Send):
            yield Mark(marked[-1], effect.answer.end_state, now)
        told = yield effect
        if isinstance(effect, Claim) and isinstance(told, TokenRow):
            marked.append(told)
        return told

    return perform


def _answers_again_what_is_closed(_: Instant) -> Perform:
    def perform(effect: Effect) -> Generator[Effect, Any, Any]:
        told = yield effect
        if isinstance(effect, Send) and told.kind is Delivered.CLOSED:
            told = yield effect
        return told

    return perform


def _takes_as_delivered(*kinds: Delivered) -> Callable[[Instant], Perform]:
    def start(_: Instant) -> Perform:
        def perform(effect: Effect) -> Generator[Effect, Any, Any]:
            told = yield effect
            taken = isinstance(effect, Send) and told.kind in kinds
            return Delivery(Delivered.DELIVERED) if taken else told

        return perform

    return start


def _guesses_who_closed_the_task(_: Instant) -> Perform:
    unsure: list[Send] = []

    def perform(effect: Effect) -> Generator[Effect, Any, Any]:
        told = yield effect
        if isinstance(effect, Send):
            if told.kind is Delivered.CLOSED and effect in unsure:
                return Delivery(Delivered.DELIVERED)
            unsure.append(effect)
        return told

    return perform


def _never_marks(_: Instant) -> Perform:
    def perform(effect: Effect) -> Generator[Effect, Any, Any]:
        return None if isinstance(effect, Mark) else (yield effect)

    return perform


def _checks_once_too_often(_: Instant) -> Perform:
    def perform(effect: Effect) -> Generator[Effect, Any, Any]:
        told = yield effect
        return replace(told, attempt_count=told.attempt_count - 1) if isinstance(told, TokenRow) else told

    return perform


def _gives_up_for_time_unasked(now: Instant) -> Perform:
    def perform(effect: Effect) -> Generator[Effect, Any, Any]:
        return InProgress() if isinstance(effect, Check) and now >= EXPIRES_AT else (yield effect)

    return perform


def _gives_up_for_time_what_has_ended(now: Instant) -> Perform:
    def perform(effect: Effect) -> Generator[Effect, Any, Any]:
        told = yield effect
        return InProgress() if isinstance(told, Completed) and now >= EXPIRES_AT else told

    return perform


def _takes_no_reply_for_a_success(_: Instant) -> Perform:
    def perform(effect: Effect) -> Generator[Effect, Any, Any]:
        told = yield effect
        return Completed(None) if isinstance(told, Unanswered) else told

    return perform


class ClaimsWithoutACondition(FakeTokenTable):
    """Claims a row, whatever has become of it since it was read."""

    def _apply(self, effect: Write) -> Item:
        if isinstance(effect, Claim):
            effect = replace(effect, row=read_row(self.items[effect.row.job_id]))
        return super()._apply(effect)


class RenewsWithoutACondition(FakeTokenTable):
    """Renews a hold, whoever has claimed the row since."""

    def _apply(self, effect: Write) -> Item:
        if isinstance(effect, Renew):
            claimed = self.items[effect.row.job_id].get("claimId", {"S": ""})["S"]
            effect = replace(effect, row=replace(effect.row, claim_id=claimed))
        return super()._apply(effect)


class _WithoutCountingAttempts(FakeTokenTable):
    def _apply(self, effect: Write) -> Item:
        item = dict(super()._apply(effect))
        if isinstance(effect, Claim):
            item["attemptCount"] = {"N": str(effect.row.attempt_count)}
            self.put(item)
        return item


class _SubtractingTheAttempt(FakeTokenTable):
    def _apply(self, effect: Write) -> Item:
        before = self.items[JOB].get("attemptCount", {})
        item = dict(super()._apply(effect))
        if isinstance(effect, Release) and effect.unspent:
            item["attemptCount"] = {"N": str(max(0, int(before["N"]) - 1))}
            self.put(item)
        return item


class _WithoutTheIndex(FakeTokenTable):
    def _apply(self, effect: Write) -> Item:
        item = dict(super()._apply(effect))
        item.pop("dueShard", None)
        self.put(item)
        return item


MARKS_BEFORE_IT_ANSWERS = Design(_amended(_marks_before_it_answers))
ANSWERS_AGAIN_WHAT_IS_CLOSED = Design(_amended(_answers_again_what_is_closed))
TAKES_CLOSED_AS_DELIVERED = Design(_amended(_takes_as_delivered(Delivered.CLOSED)))
TAKES_DEFERRED_AS_DELIVERED = Design(_amended(_takes_as_delivered(Delivered.DEFERRED)))
GUESSES_WHO_CLOSED_THE_TASK = Design(_amended(_guesses_who_closed_the_task))
NEVER_MARKS = Design(_amended(_never_marks))
CHECKS_ONCE_TOO_OFTEN = Design(_amended(_checks_once_too_often))
GIVES_UP_FOR_TIME_UNASKED = Design(_amended(_gives_up_for_time_unasked))
GIVES_UP_FOR_TIME_WHAT_HAS_ENDED = Design(_amended(_gives_up_for_time_what_has_ended))
TAKES_NO_REPLY_FOR_A_SUCCESS = Design(_amended(_takes_no_reply_for_a_success))
CLAIMS_WITHOUT_A_CONDITION = Design(table=ClaimsWithoutACondition)
COUNTS_NO_ATTEMPT = Design(table=_WithoutCountingAttempts)
GIVES_AN_ATTEMPT_BACK_TWICE = Design(table=_SubtractingTheAttempt)
LEAVES_THE_INDEX = Design(table=_WithoutTheIndex)
