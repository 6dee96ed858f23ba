"""What an SDK gives as Python's own, as JSON values."""

import datetime as dt
import io
import json
import math
from decimal import Decimal

import pytest

from scheduler.checks.json_values import jsonable, output_of

_NEW_YORK = dt.timezone(dt.timedelta(hours=-5))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC), "2026-01-02T03:04:05Z"),
        (dt.datetime(2026, 1, 2, 3, 4, 5, 600_000, tzinfo=_NEW_YORK), "2026-01-02T08:04:05.600000Z"),
        (dt.datetime(2026, 1, 2, 3, 4, 5), "2026-01-02T03:04:05Z"),  # noqa: DTZ001  the SDK means UTC
        (dt.date(2026, 1, 2), "2026-01-02"),
        (b"\x00\xff", "AP8="),
        (Decimal("3.00"), 3),
        (Decimal("2.5"), 2.5),
        (Decimal("1e999"), int(Decimal("1e999"))),
        (Decimal("NaN"), "NaN"),
        (math.nan, "NaN"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
        ({"b", "a"}, ["a", "b"]),
        ((True, None, "text", 1, 1.5), [True, None, "text", 1, 1.5]),
    ],
)
def test_a_value_becomes_one_of_json(value: object, expected: object) -> None:
    found = jsonable({"of": [value]})
    assert found == {"of": [expected]}
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_stream_is_no_value() -> None:
    with pytest.raises(TypeError, match="a BytesIO is no value of JSON"):
        jsonable({"Body": io.BytesIO()})


def test_an_output_is_without_what_the_sdk_adds() -> None:
    assert output_of({"Status": "DONE", "ResponseMetadata": {"HTTPStatusCode": 200}}) == {"Status": "DONE"}
