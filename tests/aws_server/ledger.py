"""The ledger: who was answered what, and how often an answer was offered."""

import itertools
from dataclasses import dataclass
from typing import Literal

AnswerOperation = Literal["SendTaskSuccess", "SendTaskFailure"]
ANSWERS = frozenset({"SendTaskSuccess", "SendTaskFailure"})


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that had effect; `time` in epoch seconds of the server's clock."""

    operation: str
    time: float
    output: str | None = None
    error: str | None = None
    cause: str | None = None


@dataclass(slots=True)
class Offer:
    """One call that named a token.

    `effect` is "applied" or the code by which Step Functions refused it, None where no call got so far (held, or a
    fault stood before it). `told` is what the caller was told: "ok", a code, or "nothing" where no reply was sent.
    """

    operation: str
    time: float
    effect: str | None = None
    told: str = "nothing"
    came: int = 0
    """Its place among all that happened: offers that came, and callers that were told."""
    heard: int | None = None


class Ledger:
    """`ledger[token]` lists the answers that had effect; a token that nobody answered has an empty list."""

    def __init__(self) -> None:
        self._answers: dict[str, list[Answer]] = {}
        self._offers: dict[str, list[Offer]] = {}
        self._moments = itertools.count()

    def __getitem__(self, token: str) -> list[Answer]:
        return list(self._answers.get(token, ()))

    def offers(self, token: str) -> list[Offer]:
        """List the answers offered for a token, in vain or not."""
        return [offer for offer in self._offers.get(token, ()) if offer.operation in ANSWERS]

    def offered(self, token: str) -> int:
        """Count the answers offered for a token."""
        return len(self.offers(token))

    def heartbeats(self, token: str) -> list[Offer]:
        """List the heartbeats offered for a token."""
        return [offer for offer in self._offers.get(token, ()) if offer.operation == "SendTaskHeartbeat"]

    def tokens(self) -> list[str]:
        """List every token that was ever offered an answer or a heartbeat."""
        return list(self._offers)

    def repeated(self) -> list[str]:
        """List the tokens that were offered an answer after somebody had been told that one was taken.

        Step Functions refuses the repeat, so that it has no effect; with a cloud that takes it, as LocalStack does, it
        would have effect twice. After an answer whose caller heard nothing a repeat is as it should be.
        """
        return [token for token in self._offers if self._repeats(token)]

    def _repeats(self, token: str) -> bool:
        offers = self.offers(token)
        known = [offer.heard for offer in offers if offer.told == "ok" and offer.heard is not None]
        return any(offer.came > min(known) for offer in offers) if known else False

    def note_offer(self, token: str, offer: Offer) -> None:
        """Note that a call named a token."""
        offer.came = next(self._moments)
        self._offers.setdefault(token, []).append(offer)

    def note_told(self, offer: Offer, told: str) -> None:
        """Note what a caller was told."""
        offer.told, offer.heard = told, next(self._moments)

    def note_answer(self, token: str, answer: Answer) -> None:
        """Note an answer that has had effect."""
        self._answers.setdefault(token, []).append(answer)
