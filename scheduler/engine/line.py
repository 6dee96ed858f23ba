"""A line: the held rows of one source whose time has come while its lane had no room."""

from collections import deque

from scheduler.core.timing import Policy
from scheduler.engine.held_row import HeldRow, Stage
from scheduler.engine.lanes import Lane


class Line:
    """The rows in their order, the longest waiting first; one that waits no more leaves the line as it comes up."""

    def __init__(self, lane: Lane, policy: Policy) -> None:
        self.lane = lane
        self.policy = policy
        self.rows: deque[HeldRow] = deque()

    @property
    def waits(self) -> bool:
        """Whether any row waits."""
        while self.rows and self.rows[0].stage is not Stage.WAITING:
            self.rows.popleft().in_line = False
        return bool(self.rows)

    @property
    def keeps_up(self) -> bool:
        """Whether the lane takes what is due, so that more may be taken up; of one that is to try, its first row."""
        if self.lane.stopped:
            return self.lane.room() > 0 and not self.waits
        return not (self.waits and len(self.rows) >= 2 * self.lane.slots)

    def lateness(self, now: float) -> float:
        """Give for how many seconds the longest due row has waited."""
        return max(0.0, now - self.rows[0].due) if self.waits else 0.0

    def join(self, held: HeldRow) -> None:
        """Let a row wait behind all others."""
        held.stage = Stage.WAITING
        if not held.in_line:
            held.in_line = True
            self.rows.append(held)
        self.lane.somebody_waits()

    def pop(self) -> HeldRow:
        """Take the first row out of the line."""
        held = self.rows.popleft()
        held.in_line = False
        return held

    def put_back(self, held: HeldRow) -> None:
        """Let a row wait before all others."""
        held.stage, held.in_line = Stage.WAITING, True
        self.rows.appendleft(held)
