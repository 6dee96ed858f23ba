"""Trouble of the surroundings: what keeps polls from being made or delivered, and is charged to no job."""

from dataclasses import dataclass
from enum import StrEnum

from scheduler.core.service_calls import Refusal


class Part(StrEnum):
    """What can be in trouble, each by itself."""

    TABLE = "token table"
    SOURCE = "source"
    ANSWERS = "answers"
    HEARTBEATS = "heartbeats"


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong with a part.

    `reason` is short and may be shown to anybody; `error` is the service's own text, for the log. `refusal` is None
    where none of the usual ones says it. `again_seconds` is for how long the part wants not to be asked.
    """

    part: Part
    reason: str
    error: str
    refusal: Refusal | None = None
    again_seconds: float | None = None

    @classmethod
    def refused(cls, part: Part, error: str, refusal: Refusal | None, again_seconds: float | None = None) -> "Trouble":
        """Give the trouble that a refusal stands for."""
        return cls(part, refusal.value if refusal else "refused", error, refusal, again_seconds)
