"""Where a call went: its endpoint, region and account, noted at every error of the SDK's clients.

A table that does not exist is most often one of another region or endpoint, so that whoever reads of it needs to know
where it was looked for. An error says that by itself in some cases only.
"""

import re
from typing import Any

from scheduler.aws.sdk_errors import SDK_ERRORS

_ACCOUNT = re.compile(r"\barn:[a-z-]+:[a-z0-9-]+:[a-z0-9-]*:(\d{12}):")


def whereabouts(client: Any) -> str:
    """Give the endpoint and the region of a client, to be put behind what could not be done there."""
    return f"at {client.meta.endpoint_url}, region {client.meta.region_name}"


def add_whereabouts(client: Any, error: BaseException) -> None:
    """Note at an error where its client is."""
    # Services name the account in the ARN of what they do not find; asking for it would be one more call.
    account = _ACCOUNT.search(str(error))
    error.add_note(whereabouts(client) + (f", account {account[1]}" if account else ""))


def note_whereabouts(base_classes: list[type], **_: Any) -> None:
    """Let a client's class note where it is at its errors; for the SDK's event `creating-client-class`."""
    base_classes.insert(0, _Located)


class _Located:
    """A client whose errors carry its whereabouts, as a note."""

    async def _make_api_call(self, operation: str, parameters: Any) -> Any:
        try:
            return await super()._make_api_call(operation, parameters)  # type: ignore[misc]  # of the SDK's class below
        except SDK_ERRORS as error:
            if not getattr(error, "__notes__", None):
                add_whereabouts(self, error)
            raise
