"""Everything at once, with nothing set up: `demo`."""

from typing import Annotated

import typer

from scheduler.errors import SchedulerError


def demo(
    succeeding: Annotated[int, typer.Option(min=0, max=200, help="Workflows whose job succeeds.")] = 5,
    interval: Annotated[float, typer.Option(min=0.1, max=60, help="Seconds between two polls of a job.")] = 1.0,
    mode: Annotated[str, typer.Option(help="direct or lambda.")] = "direct",
    keep: Annotated[bool, typer.Option("--keep", help="Go on until Ctrl-C.")] = False,
) -> None:
    """Show everything on an embedded local cloud: workflows wait, are polled and end. No Docker, no account."""
    from scheduler.commands.running import run_to_end
    from scheduler.demo import run_demo

    if not run_to_end(run_demo(succeeding, interval, mode, keep=keep), patient=True):
        message = "not every workflow ended as it should"
        raise SchedulerError(message)
