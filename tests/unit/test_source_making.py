"""Making sources: what one of them waits for takes nothing from another."""

import socket
import threading
from contextlib import AsyncExitStack
from typing import Any

import pytest

from scheduler.checks.spec import spec_of
from scheduler.core.check_replies import Unasked
from scheduler.core.service_calls import Refusal
from scheduler.source_making import SourceMaker
from tests.http_jobs.asking import LISTS


async def test_a_name_that_no_server_tells_in_time_is_a_source_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def hangs(*given: Any, **more: Any) -> list[Any]:
        del given, more
        over.wait(20)
        raise socket.gaierror(socket.EAI_AGAIN, "no")

    monkeypatch.setattr(socket, "getaddrinfo", hangs)
    try:
        async with AsyncExitStack() as stack:
            maker = SourceMaker(None, 4, 3.0, stack)
            source = await maker.http(spec_of("reports", {"http": {"url": "https://reports.test/{jobId}"}} | LISTS))
            report = (await source.ask("job-1")).report
    finally:
        over.set()
    assert isinstance(report, Unasked)
    assert report.refusal is Refusal.UNREACHABLE
