"""Home: whose tasks can be answered from here."""

import pytest

from scheduler.core.home import Home

HERE = "arn:aws:states:eu-west-1:111122223333:execution:flow:run"


@pytest.mark.parametrize("home", [Home(), Home("eu-west-1"), Home("eu-west-1", "111122223333"), Home(None, None)])
def test_an_execution_of_this_region_and_account_can_be_answered(home: Home) -> None:
    assert home.excludes(HERE) is None


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_an_execution_of_another_region_cannot(partition: str) -> None:
    arn = f"arn:{partition}:states:us-east-1:111122223333:execution:flow:run"
    assert Home("eu-west-1").excludes(arn) == "its execution is in region us-east-1, and this is eu-west-1"


def test_an_execution_of_another_account_cannot_where_the_account_is_known() -> None:
    reason = "its execution is in account 111122223333, and this is 999999999999"
    assert Home("eu-west-1", "999999999999").excludes(HERE) == reason
    assert Home("eu-west-1").excludes(HERE) is None


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:states:us-east-1:111122223333:express:flow:run:1",
        "arn:aws:states:us-east-1:111122223333:execution:flow:a:b",
    ],
)
def test_the_kind_of_execution_and_colons_in_its_name_do_not_matter(arn: str) -> None:
    assert Home("us-east-1", "111122223333").excludes(arn) is None
    assert Home("eu-west-1").excludes(arn) is not None


@pytest.mark.parametrize(
    "execution_id",
    [
        None,
        7,
        True,
        "",
        "run-1",
        "arn:e",
        "arn:aws:states",
        "arn:aws:states:us-east-1:111122223333",
        "arn:aws:states:us-east-1:111122223333:execution",
        "arn:aws:lambda:us-east-1:111122223333:function:poc",
        "nra:aws:states:us-east-1:111122223333:execution:flow:run",
    ],
)
def test_what_is_no_arn_of_an_execution_rules_nothing_out(execution_id: object) -> None:
    assert Home("eu-west-1", "999999999999").excludes(execution_id) is None
