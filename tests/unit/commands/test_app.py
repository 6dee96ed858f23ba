"""The command line as a whole."""

import subprocess
import sys

SLOW = ["aioboto3", "aiohttp", "apscheduler", "botocore", "pydantic", "rich", "structlog"]


def test_the_help_waits_for_nothing_that_only_a_command_needs() -> None:
    look = f"import scheduler.commands.app, sys; print([name for name in {SLOW} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
