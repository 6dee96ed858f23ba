"""What must hold in every world that can be reached."""

from typing import Protocol

from scheduler.core.answers import Fail, Succeed
from scheduler.core.check_replies import Completed, Failed, Unanswered
from scheduler.core.states import POLLING, EndState
from tests.model.positions import IDLE, Broken
from tests.model.scenario import Scenario
from tests.model.services import TIMED_OUT, WAITING, Services, State
from tests.model.world import World

_TOLD = {
    "JobFailed": EndState.FAILED,
    "JobUnknown": EndState.FAILED,
    "InvalidOutput": EndState.FAILED,
    "PollingExpired": EndState.EXPIRED,
    "MaxAttemptsExceeded": EndState.MAX_ATTEMPTS,
}
"""The end state of a row whose task was told an error of this name, and not only what the answer says of itself."""


class Checked(Protocol):
    """A world that is held to what is true of its job."""

    @property
    def services(self) -> Services:
        """What stands around the pollers."""
        ...

    @property
    def scenario(self) -> Scenario:
        """The job."""
        ...

    def given_up(self, state: State) -> bool:
        """Tell whether the attempts of the job are used up."""
        ...


def check(world: World, state: State) -> None:
    """Hold one world to the invariants; raises Broken, with a sentence that says which one does not hold."""
    check_row(world, state)
    # The attempt is counted at the claim, so that even a poll that crashed has paid for its check. The issue would
    # allow one more check for each crash.
    _require(state.checks <= world.scenario.max_attempts, f"{state.checks} checks were made")
    _ends(world, state)


def check_row(world: Checked, state: State) -> None:
    """Hold what the row says to what the task was told, and that to what is true of the job. Raises Broken."""
    status = world.services.rows[state.row][0]["status"]["S"]
    _require(status in _allowed(world, state), f"the row says {status}, and the task is {_task(world, state)}")
    _require(_deserved(world, state), f"the task was told what is not so: {_task(world, state)}")


def _allowed(world: Checked, state: State) -> set[str]:
    """Give what the row may say: that it waits, or what is true of its task."""
    match world.services.answers[state.task]:
        case _ if state.task == WAITING:
            return {POLLING}
        case Succeed():
            return {POLLING, EndState.CLOSED, EndState.COMPLETED}
        case Fail(error):
            return {POLLING, EndState.CLOSED, _TOLD[error]}
    return {POLLING, EndState.CLOSED}


def _deserved(world: Checked, state: State) -> bool:
    """Tell whether the task was told what is true of its job."""
    answer, scenario = world.services.answers[state.task], world.scenario
    over = state.checks > scenario.in_progress
    match answer:
        case Succeed():
            return over and isinstance(scenario.ending, Completed)
        case Fail("JobFailed"):
            return over and isinstance(scenario.ending, Failed)
        case Fail("JobUnknown"):
            return over and isinstance(scenario.ending, Unanswered) and scenario.ending.unknown_job
        case Fail("InvalidOutput"):
            return over and scenario.refuses_output
        case Fail("PollingExpired"):
            return state.expired and state.checks > 0
        case Fail("MaxAttemptsExceeded"):
            return world.given_up(state)
    return state.task in {WAITING, TIMED_OUT}


def _ends(world: World, state: State) -> None:
    """Let one poller go on alone, with nothing more going wrong: its polls must end the row and leave no task waiting.

    What other pollers would still do belongs to the worlds in which they have done it.
    """
    state = state._replace(pollers=((IDLE, False),), in_flight=(), faults=0, crashes=0, clean=False)
    attempts = int(world.services.rows[state.row][0]["attemptCount"]["N"])
    for _ in range(max(0, world.scenario.max_attempts - attempts) + 2):
        if not world.services.rows[state.row][1]:
            break
        state = world.read(world.later(state), 0)
        while state.pollers[0][0] != IDLE:
            state = world.perform(state, 0)
    _require(not world.services.rows[state.row][1], "the row never ends, though somebody polls it")
    _require(state.task != WAITING, "the row has ended, and its task waits for ever")


def _task(world: Checked, state: State) -> str:
    match world.services.answers[state.task]:
        case Succeed():
            return "told success"
        case Fail(error):
            return f"told {error}"
        case what:
            return str(what)


def _require(holds: bool, otherwise: str) -> None:  # noqa: FBT001  it reads as a sentence
    if not holds:
        raise Broken(otherwise)
