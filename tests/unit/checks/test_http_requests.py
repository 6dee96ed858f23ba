"""Requests of HTTP APIs as values."""

from typing import Any

import pytest

from scheduler.checks.http_requests import HttpRequest, check_ask, http_request, redirected
from scheduler.checks.spec import AskHttp
from scheduler.checks.templates import TemplateError, UnfitJobError

URL = "https://jobs.example.com/{jobId}"


def body_of(body: Any, kind: str | None = None, job_id: str = "job-1", **given: Any) -> tuple[str, bytes | None]:
    headers = {"content-type": kind} if kind else {}
    request = http_request(AskHttp("https://jobs.example.com/", "POST", headers, {}, body), job_id, given)
    (sent,) = [value for name, value in request.headers.items() if name.lower() == "content-type"]
    return sent, request.body


def test_a_get_asks_for_json_that_is_not_compressed_and_has_no_body() -> None:
    request = http_request(AskHttp(URL, headers={"X-Tenant": "{input.t}"}), "job-1", {"t": "blue"})
    assert request == HttpRequest(
        "GET",
        "https://jobs.example.com/job-1",
        {
            "Accept": "application/json",
            "User-Agent": "callback-scheduler",
            "X-Tenant": "blue",
            "Accept-Encoding": "identity",
        },
    )


def test_an_entry_may_ask_for_something_else_by_a_header_in_any_case() -> None:
    headers = http_request(AskHttp(URL, headers={"accept": "text/plain"}), "job-1").headers
    assert {name: value for name, value in headers.items() if name.lower() == "accept"} == {"accept": "text/plain"}


def test_a_body_is_json_a_form_or_a_text() -> None:
    assert body_of({"id": "{jobId}"}) == ("application/json", b'{"id": "job-1"}')
    assert body_of(["{input.n}"], "application/vnd.jobs+json", n=3) == ("application/vnd.jobs+json", b"[3]")
    form = "application/x-www-form-urlencoded"
    assert body_of({"id": "{jobId}", "all": ["1", "2"]}, form, "a&b=c") == (form, b"id=a%26b%3Dc&all=1&all=2")
    assert body_of("id={jobId}", form, "a&b=c") == (form, b"id=a%26b%3Dc")
    assert body_of("{jobId}") == ("text/plain", b"job-1")
    assert body_of('<job id="{jobId}"/>', "application/soap+xml", '"><x') == (
        "application/soap+xml",
        b'<job id="&quot;&gt;&lt;x"/>',
    )


def test_a_surrogate_stays_in_json_and_fits_into_no_text() -> None:
    assert body_of({"id": "{jobId}"}, job_id="\ud800") == ("application/json", b'{"id": "\\ud800"}')
    with pytest.raises(UnfitJobError, match="no text of Unicode"):
        body_of("{jobId}", job_id="\ud800")


@pytest.mark.parametrize("value", ["a\r\nX-Admin: 1", "a\nb", "a\0b", "ü", "\x7f"])
def test_a_value_that_would_leave_its_header_does_not_fit(value: str) -> None:
    with pytest.raises(UnfitJobError, match="jobId does not fit into a header"):
        http_request(AskHttp("https://h/", headers={"X-Job": "{jobId}"}), value)


def test_a_request_shows_no_headers_and_no_body() -> None:
    request = HttpRequest("POST", "https://h/", {"Authorization": "Bearer s3cr3t"}, b"s3cr3t")
    assert "s3cr3t" not in repr(request)


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (AskHttp("https://{jobId}/"), "host"),
        (AskHttp("https://h/", headers={"X Y": "1"}), "no name of a header"),
        (AskHttp("https://h/", headers={"Host": "evil.example.com"}), "not an entry's to set"),
        (AskHttp("https://h/", headers={"content-Length": "1"}), "not an entry's to set"),
        (AskHttp("https://h/", headers={"X-Y": "a\r\nb: c"}), "one line of ASCII"),
        (AskHttp("https://h/", headers={"X-Y": "{job}"}), "no placeholder"),
        (AskHttp("https://h/", query={"q": "{"}), "no placeholder"),
        (AskHttp("https://h/", body={"q": ["{x}"]}), "no placeholder"),
        (AskHttp("https://h/", body='{{"q": "{jobId}"}}', headers={"Content-Type": "application/json"}), "as data"),
    ],
)
def test_an_entry_by_which_no_job_could_be_asked_for_is_refused(ask: AskHttp, said: str) -> None:
    with pytest.raises(TemplateError, match=said):
        check_ask(ask)


def test_an_entry_whose_placeholders_need_an_input_is_fine() -> None:
    check_ask(AskHttp("https://h/{input.x}", "POST", {"X-Y": "{input.y}"}, {"q": "{jobId}"}, "{input.z}"))


SAME = {
    "/b": "https://h:8443/b",
    "c?d=%2F{x}": "https://h:8443/a/c?d=%2F{x}",
    "https://h:8443/z": "https://h:8443/z",
    "https://H:8443/z": "https://H:8443/z",
    "//h:8443/y": "https://h:8443/y",
}


@pytest.mark.parametrize("location", SAME)
def test_a_redirect_within_the_origin_is_followed(location: str) -> None:
    onward = redirected(HttpRequest("GET", "https://h:8443/a/b", {"X": "1"}), 302, location)
    assert onward == HttpRequest("GET", SAME[location], {"X": "1"})


@pytest.mark.parametrize(
    "location",
    [
        None,
        "",
        "http://h:8443/a",
        "https://h/a",
        "https://h:8444/a",
        "https://h.example.com:8443/a",
        "https://h:8443@evil.example.com/",
        "https://ann@h:8443/",
        "//evil.example.com/",
        "https:\\\\evil.example.com",
        "\\\\evil.example.com\\x",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "https://h:99999/",
        "https://[/",
        "/ü",
    ],
)
def test_a_redirect_elsewhere_or_to_nowhere_is_not(location: str | None) -> None:
    onward = redirected(HttpRequest("GET", "https://h:8443/a/b", {}), 302, location)
    assert onward is None or onward.url.startswith("https://h:8443/")
    if location not in {"https:\\\\evil.example.com", "\\\\evil.example.com\\x"}:
        assert onward is None


def test_a_default_port_is_the_same_origin() -> None:
    onward = redirected(HttpRequest("GET", "https://h/a", {}), 301, "https://h:443/b")
    assert onward == HttpRequest("GET", "https://h:443/b", {})


@pytest.mark.parametrize(("status", "method"), [(301, "GET"), (302, "GET"), (303, "GET"), (307, "POST"), (308, "POST")])
def test_a_post_goes_on_as_its_redirect_says(status: int, method: str) -> None:
    posted = HttpRequest("POST", "https://h/a", {"Content-Type": "text/plain", "X": "1"}, b"x")
    onward = redirected(posted, status, "/b")
    assert onward is not None
    assert (onward.method, onward.body) == (method, b"x" if method == "POST" else None)
    assert ("Content-Type" in onward.headers) is (method == "POST")
    assert onward.headers["X"] == "1"
