"""Run the server as a process of its own; it prints its address, and stops on SIGINT or SIGTERM."""

import argparse
import asyncio
import signal
import sys

from tests.aws_server.server import AwsServer


async def _run(port: int, dynamodb_url: str | None) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AwsServer(dynamodb_url, port=port) as server:
        sys.stdout.write(f"{server.endpoint}\n")
        sys.stdout.flush()
        await stop.wait()


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.aws_server", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one (the default)")
    parser.add_argument("--dynamodb-url", help="the real DynamoDB endpoint, such as http://127.0.0.1:8000")
    options = parser.parse_args()
    asyncio.run(_run(options.port, options.dynamodb_url))


main()
