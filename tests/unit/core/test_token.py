"""The token is a secret, and shows only its fingerprint."""

import hashlib
import json
from dataclasses import dataclass

import pytest

from scheduler.core.effects import Heartbeat
from scheduler.core.token import TaskToken, TokenTrace
from tests.fakes import token_row

SECRET = "AQCEAAAAKgAAAAMAAAAA-s3cret"
TOKEN = TaskToken(SECRET)
MASKED = f"<token {hashlib.sha256(SECRET.encode()).hexdigest()[:8]}>"


@dataclass
class Holder:
    token: TaskToken


@pytest.mark.parametrize(
    "shown",
    [
        str(TOKEN),
        repr(TOKEN),
        f"{TOKEN}",
        f"{TOKEN!r}",
        f"{TOKEN!s:.100}",
        format(TOKEN),
        "{}".format(TOKEN),  # noqa: UP032  the ways in which a secret slips out are what is tested
        "%s" % TOKEN,  # noqa: UP031  likewise
        "%r" % (TOKEN,),  # noqa: UP031  likewise
        ascii(TOKEN),
    ],
)
def test_a_token_is_masked_however_it_is_written(shown: str) -> None:
    assert shown == MASKED


@pytest.mark.parametrize(
    "holder",
    [Holder(TOKEN), [TOKEN], {"token": TOKEN}, (TOKEN,), ValueError(TOKEN), token_row(token=TOKEN), Heartbeat(TOKEN)],
    ids=lambda holder: type(holder).__name__,
)
def test_a_token_is_masked_inside_whatever_holds_it(holder: object) -> None:
    assert MASKED in repr(holder)
    assert SECRET not in f"{holder} {holder!r}"


def test_a_token_slips_into_no_json() -> None:
    with pytest.raises(TypeError) as caught:
        json.dumps({"token": TOKEN})
    assert SECRET not in str(caught.value)
    assert json.dumps({"token": TOKEN}, default=str) == json.dumps({"token": MASKED})


def test_a_format_that_is_none_does_not_show_the_token() -> None:
    with pytest.raises(TypeError) as caught:
        format(TOKEN, ">100")
    assert SECRET not in str(caught.value)


def test_only_reveal_gives_the_secret() -> None:
    assert TOKEN.reveal() == SECRET


def test_a_token_has_no_attribute_dictionary_to_show() -> None:
    assert not hasattr(TOKEN, "__dict__")


def test_tokens_are_equal_by_their_secret_and_equal_to_no_text() -> None:
    assert TaskToken(SECRET) == TOKEN
    assert {TOKEN: 1}[TaskToken(SECRET)] == 1
    assert TaskToken("other") != TOKEN
    assert TOKEN != SECRET


def test_a_fingerprint_is_the_beginning_of_the_secret_s_sha_256() -> None:
    assert TOKEN.fingerprint() == hashlib.sha256(SECRET.encode()).hexdigest()[:8]


def test_a_token_that_utf_8_cannot_carry_has_a_fingerprint_too() -> None:
    assert len(TaskToken("\ud800").fingerprint()) == 8


def test_every_occurrence_of_the_secret_is_scrubbed() -> None:
    assert TOKEN.scrub(f"{SECRET}, '{SECRET}'") == f"{MASKED}, '{MASKED}'"
    assert TOKEN.scrub("nothing here") == "nothing here"


def test_what_only_begins_like_the_token_is_kept_from_where_it_differs() -> None:
    assert TOKEN.scrub(f"{SECRET[:18]}!! is no token") == f"{MASKED}!! is no token"
    assert TOKEN.scrub(f"{SECRET[:18]}!!!!!!!!!!!!!!!!!!!!") == f"{MASKED}!!!!!!!!!!!!!!!!!!!!"


def test_a_trace_of_a_token_does_not_reveal_it_and_says_where_it_is() -> None:
    with pytest.raises(LookupError, match=r"^only the row holds this token$"):
        TokenTrace(TaskToken("AQ" * 50)).reveal()
