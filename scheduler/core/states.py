"""The states of a token row."""

from enum import StrEnum

POLLING = "POLLING"


class EndState(StrEnum):
    """How a row can end; its status is POLLING until then."""

    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    MAX_ATTEMPTS = "MAX_ATTEMPTS"
    EXPIRED = "EXPIRED"
    CLOSED = "CLOSED"
    QUARANTINED = "QUARANTINED"
