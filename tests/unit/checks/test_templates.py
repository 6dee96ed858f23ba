"""Templates: what a row says of its job stays in its place, whatever it says."""

import json
import re
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.checks.templates import (
    JobRef,
    TemplateError,
    UnfitJobError,
    check_url,
    fill_body,
    fill_data,
    fill_header,
    fill_text,
    fill_url,
    placeholders,
)

HOSTILE = st.lists(
    st.sampled_from(
        [
            "..",
            ".",
            "/",
            "\\",
            "?",
            "#",
            "&",
            "=",
            "%",
            "%2e",
            "%2F",
            "@",
            ":",
            ";",
            "\r\n",
            "\0",
            " ",
            "ü",
            "{",
            "}",
            "job",
        ]
    )
).map("".join)
ANY = st.one_of(st.text(min_size=1), HOSTILE, st.text(st.characters(codec=None), min_size=1))


@given(ANY, ANY)
def test_nothing_in_a_url_gets_out_of_its_segment_or_of_its_value(job_id: str, value: str) -> None:
    job = JobRef(job_id, {"x": value})
    try:
        url = fill_url("https://h.example.com:8443/v2/{jobId}/part-{input.x}?a={input.x}", {"b": "{jobId}"}, job)
    except UnfitJobError:
        return
    assert url.isascii()
    assert re.fullmatch(r"[!-~]+", url)
    split = urlsplit(url)
    assert (split.scheme, split.netloc, split.fragment) == ("https", "h.example.com:8443", "")
    assert [unquote(segment) for segment in split.path.split("/")] == ["", "v2", job_id, f"part-{value}"]
    assert parse_qsl(split.query, keep_blank_values=True) == [("a", value), ("b", job_id)]
    # Not even for servers that decode before they look for steps.
    decoded = unquote(split.path).replace("\\", "/").split("/")
    assert not {".", ".."} & set(decoded)


@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_whatever_is_a_text_without_a_step_fits_into_a_url(job_id: str) -> None:
    if not {".", ".."} & set(re.split(r"[/\\]", job_id)):
        assert unquote(fill_url("https://h/{jobId}", {}, JobRef(job_id))) == f"https://h/{job_id}"


@given(ANY)
def test_a_header_is_one_line_of_ascii(value: str) -> None:
    try:
        filled = fill_header("job {jobId}", JobRef(value))
    except UnfitJobError:
        assert not re.fullmatch(r"[\t -~]*", value)
    else:
        assert filled == f"job {value}"
        assert re.fullmatch(r"[\t -~]*", filled)


@given(ANY)
def test_data_is_filled_as_data(value: str) -> None:
    filled = fill_data({"ids": ["{jobId}"], "text": "job {jobId}"}, JobRef(value))
    assert json.loads(json.dumps(filled)) == {"ids": [value], "text": f"job {value}"}


@given(st.text(st.characters(codec="utf-8")))
def test_a_form_and_xml_hold_what_was_put_into_them(value: str) -> None:
    job = JobRef(value)
    form = fill_body("id={jobId}&x=1", job, "application/x-www-form-urlencoded; charset=utf-8")
    assert parse_qsl(form, keep_blank_values=True) == [("id", value), ("x", "1")]
    xml = fill_body('<job id="{jobId}"/>', job, "text/xml")
    assert xml.count("<") == 1
    assert xml.count('"') == 2


@given(st.text())
def test_a_text_that_is_no_template_is_told_so_and_raises_nothing_else(template: str) -> None:
    try:
        names = placeholders(template)
    except TemplateError:
        assert "{" in template or "}" in template
    else:
        assert all(name == "jobId" or name.startswith("input.") for name in names)


@given(st.text())
def test_literal_braces_are_written_twice(text: str) -> None:
    assert fill_text(text.replace("{", "{{").replace("}", "}}"), JobRef("job")) == text


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{input.n}", 3),
        ("{input.price}", 1.5),
        ("{input.flag}", True),
        ("{input.list}", [1, 2.5]),
        ("{input.deep.er}", "x"),
        ("n={input.n}", "n=3"),
        ("{input.flag}!", "true!"),
        ("{input.price}!", "1.5!"),
        ("{{{jobId}}}", "{job-1}"),
    ],
)
def test_a_text_that_is_just_a_placeholder_keeps_the_type(template: str, value: Any) -> None:
    given_input = {"n": 3, "price": Decimal("1.5"), "flag": True, "list": [1, Decimal("2.5")], "deep": {"er": "x"}}
    filled = fill_data({"a": [template]}, JobRef("job-1", given_input))
    assert filled == {"a": [value]}
    assert type(filled["a"][0]) is type(value)


@pytest.mark.parametrize("template", ["{input.gone}", "{input.n.er}", "{input.none}", "{input.bytes}", "x{input.list}"])
def test_an_input_that_is_missing_or_no_text_is_told_of_by_its_name(template: str) -> None:
    job = JobRef("job-1", {"n": 3, "none": None, "bytes": b"x", "list": [1]})
    with pytest.raises(UnfitJobError, match=r"input\."):
        fill_data(template, job)


@pytest.mark.parametrize("job_id", ["", ".", "..", "a/..", "../a", "a/./b", "..\\a", "\ud800"])
def test_a_job_that_would_step_out_of_a_url_does_not_fit(job_id: str) -> None:
    with pytest.raises(UnfitJobError, match="does not fit into a URL"):
        fill_url("https://h/{jobId}/status", {}, JobRef(job_id))


def test_two_values_do_not_become_a_step_together() -> None:
    with pytest.raises(UnfitJobError):
        fill_url("https://h/{jobId}{input.x}/status", {}, JobRef(".", {"x": "."}))


def test_what_a_person_wrote_stays_and_what_cannot_be_sent_is_encoded() -> None:
    url = fill_url("https://h/a%2Fb/ü/{{x}}/100%?q=a+b&r=[1]", {"s t": "u&v"}, JobRef("job"))
    assert url == "https://h/a%2Fb/%C3%BC/%7Bx%7D/100%25?q=a+b&r=[1]&s%20t=u%26v"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://h/{jobId}", "must begin with https"),
        ("https://{jobId}.example.com/", "host"),
        ("https://h:{jobId}/", "no URL"),
        ("https://ann:secret@h/", "no user"),
        ("https://h/#{jobId}", "#"),
        ("https://h/../{jobId}", "segment"),
        ("https://h/{job}", "no placeholder"),
        ("https://h/{", "no placeholder"),
        ("https://h/{jobId} x", "no space"),
        ("https://h/\r\n", "control"),
        ("https:///x", "host"),
        ("https://h\\@evil.example.com/", "host"),
        ("https://h%2eexample.com/", "host"),
        ("//h/{jobId}", "must begin with https"),
    ],
)
def test_a_url_that_jobs_cannot_be_asked_at_is_refused(url: str, said: str) -> None:
    with pytest.raises(TemplateError, match=said):
        check_url(url)


def test_placeholders_are_found_wherever_they_stand() -> None:
    nested = {"a": ["{jobId}", {"b": "x{input.y.z}"}], "c": 3, "d": None}
    assert placeholders(nested) == {"jobId", "input.y.z"}


def test_a_text_of_json_takes_no_placeholders() -> None:
    with pytest.raises(TemplateError, match="write the body as data"):
        fill_body('{{"id": "{jobId}"}}', JobRef("job"), "application/json")
    assert fill_body('{{"all": true}}', JobRef("job"), "application/json") == '{"all": true}'
