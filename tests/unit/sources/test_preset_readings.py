"""What presets make of the replies that services give."""

import pytest
from botocore.validate import ParamValidator

from scheduler.checks.readings import Reader
from scheduler.checks.spec import spec_of
from scheduler.core.check_replies import Unanswered
from scheduler.sources.presets import overridden, presets
from tests.unit.sources.recorded_replies import RECORDED, Recorded
from tests.unit.sources.status_values import entry_of, job_shape

EACH = pytest.mark.parametrize("recorded", RECORDED, ids=[f"{each.preset}-{each.means}" for each in RECORDED])


@EACH
def test_a_reply_says_what_became_of_the_job(recorded: Recorded) -> None:
    entry = overridden(entry_of(presets()[recorded.preset]), recorded.turned)

    assert Reader(spec_of(recorded.preset, entry).reading).read(recorded.reply) == recorded.means


@pytest.mark.parametrize("preset", presets())
def test_a_reply_without_a_status_ends_no_job(preset: str) -> None:
    report = Reader(spec_of(preset, entry_of(presets()[preset])).reading).read({})

    assert isinstance(report, Unanswered)


@EACH
def test_the_reply_is_one_that_the_service_could_give(recorded: Recorded) -> None:
    shape = job_shape(entry_of(presets()[recorded.preset]))

    report = ParamValidator().validate(recorded.reply, shape).generate_report()

    # The replies leave out what no path looks at; what they have must be there, and of the right type.
    assert [line for line in report.splitlines() if not line.startswith("Missing required parameter")] == []
