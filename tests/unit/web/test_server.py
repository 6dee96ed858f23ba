"""Health over HTTP."""

import socket

import aiohttp
import pytest

from scheduler.errors import SchedulerError
from scheduler.web.health import Health, routes
from scheduler.web.server import serving

pytestmark = pytest.mark.usefixtures("logs")


async def test_it_is_alive_while_it_turns_and_ready_only_while_nothing_is_in_the_way() -> None:
    health = Health()
    seen = []

    def nothing() -> None:
        """Change nothing."""

    def tick() -> None:
        health.ticked(60)

    def trouble() -> None:
        health.troubled("answers", "throttled", "")

    async with serving("127.0.0.1", 0, routes(health)) as port, aiohttp.ClientSession() as session:

        async def ask(path: str) -> tuple[int, dict[str, object]]:
            async with session.get(f"http://127.0.0.1:{port}/{path}") as reply:
                return reply.status, await reply.json()

        for change in (nothing, tick, trouble):
            change()
            assert await ask("livez") == (200, {"status": "alive"})
            status, shown = await ask("readyz")
            seen.append((status, shown["status"], shown.get("reason")))
    assert seen == [
        (503, "unready", "no tick has ended yet"),
        (200, "ready", None),
        (503, "unready", "answers: throttled"),
    ]


async def test_a_port_that_is_taken_is_told_in_one_line_with_the_settings_to_change() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SchedulerError, match=f"cannot listen on 127.0.0.1:{port}: .*SCHEDULER_HTTP_PORT"):
            async with serving("127.0.0.1", port, routes(Health())):
                pytest.fail("it listens on a port that is taken")
