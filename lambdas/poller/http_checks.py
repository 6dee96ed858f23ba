"""Checks of a source that is an HTTP API."""

from collections.abc import Sequence
from time import monotonic, time

from http_exchange import BrokenError, UnreachedError, exchange
from http_signing import Authority
from scheduler.checks.http_replies import HttpReader, HttpReply
from scheduler.checks.http_requests import MOST_REDIRECTS, REDIRECTS, HttpRequest, check_ask, http_request, redirected
from scheduler.checks.spec import AskHttp, Reading
from scheduler.checks.templates import UnfitJobError
from scheduler.core.check_replies import NotTogether, Report, Unanswered, Unasked
from scheduler.core.service_calls import Refusal
from scheduler.core.token_row import TokenRow


class HttpChecks:
    """Asks an HTTP API for one job at a time."""

    most = 1

    def __init__(self, ask: AskHttp, reading: Reading, authority: Authority, seconds: float) -> None:
        """Take how to ask, what replies mean, who asks, and the time that one check may take.

        Raises TemplateError or jmespath's JMESPathError.
        """
        check_ask(ask)
        self._ask = ask
        self._reader = HttpReader(reading)
        self._authority = authority
        self._seconds = seconds

    def check(self, row: TokenRow) -> Report:
        """Ask for one job's status."""
        try:
            request = http_request(self._ask, row.job_id, row.source_input)
        except UnfitJobError as error:
            return Unanswered(f"this job cannot be asked for: {error}")
        report = self._asked(request, monotonic() + self._seconds)
        if isinstance(report, Unasked) and report.refusal is Refusal.CREDENTIALS:
            self._authority.forget()
        return report

    def check_together(self, rows: Sequence[TokenRow]) -> list[Report] | NotTogether:
        """Ask for none: an HTTP API is asked for one job at a time."""
        del rows
        return NotTogether("an HTTP API is asked for one job at a time")

    def _asked(self, request: HttpRequest, until: float) -> Report:
        """Send a request and read its reply, and follow redirects that stay where the source is."""
        for _ in range(MOST_REDIRECTS + 1):
            authorized = self._authority.put_onto(request, until)
            if isinstance(authorized, Unasked):
                return authorized
            try:
                reply = authorized.hide_in(exchange(authorized.request, until))
            except UnreachedError as error:
                return Unasked(str(error), Refusal.UNREACHABLE)
            except BrokenError as error:
                return Unanswered(str(error))
            if not self._leads_on(reply):
                return self._reader.read(reply, time())
            elsewhere = redirected(request, reply.status, reply.headers.get("location"))
            if elsewhere is None:
                return Unanswered(f"the source replied with {reply.status}, a redirect that is not followed")
            request = elsewhere
        return Unanswered(f"the source redirects more than {MOST_REDIRECTS} times")

    def _leads_on(self, reply: HttpReply) -> bool:
        return reply.status in REDIRECTS and not self._reader.takes_redirect(reply.status)
