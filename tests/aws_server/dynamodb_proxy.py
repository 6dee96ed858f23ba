"""A proxy in front of a real DynamoDB endpoint: what is not a fault on order passes through untouched."""

from typing import Self

import aiohttp

from tests.aws_server.wire import Call, Dropped, Reply, refuse

_SENT_ON = {"authorization", "content-type", "x-amz-date", "x-amz-target", "x-amz-security-token"}
_BROUGHT_BACK = ("Content-Type", "x-amzn-RequestId", "x-amz-crc32")


class DynamoDbProxy:
    """Passes calls on to DynamoDB; without one, it refuses them."""

    def __init__(self, url: str | None) -> None:
        self._url = url
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        # No limit of its own: faults are on order alone.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None), auto_decompress=False
        )
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._session:
            await self._session.close()

    async def apply(self, call: Call) -> Reply:
        """Apply one call. Raises RefusedError where there is no DynamoDB, and Dropped where it cannot be reached."""
        if self._url is None or self._session is None:
            refuse("UnknownOperationException", "this server was started without a DynamoDB")
        headers = {name: value for name, value in call.headers.items() if name.lower() in _SENT_ON}
        headers["Accept-Encoding"] = "identity"
        try:
            async with self._session.post(self._url, data=call.body, headers=headers) as given:
                body = await given.read()
                kept = {name: given.headers[name] for name in _BROUGHT_BACK if name in given.headers}
                return Reply(given.status, body, kept, None if given.ok else f"HTTP {given.status}")
        except aiohttp.ClientError as error:
            raise Dropped from error
