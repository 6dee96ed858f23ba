"""Invocations at a fraction of the SDK's cost: it makes the first one of each function, the others are made like it.

Most of what an invocation costs is what the SDK finds out anew each time: whether the parameters are good, the endpoint
by its rules, its own name, who listens. So the address and the headers of its first request serve for the next ones.
Credentials and their refresh, connections with their proxies, CA bundles and time-outs, and the names of errors are the
SDK's own here, too. Nothing is sent twice.
"""

import time
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiobotocore.response import StreamingBody
from botocore.awsrequest import AWSPreparedRequest, HeadersDict
from botocore.parsers import create_parser

from scheduler.aws.sdk_errors import SDK_ERRORS
from scheduler.aws.signature import Signer
from scheduler.aws.whereabouts import add_whereabouts

if TYPE_CHECKING:
    from types_aiobotocore_lambda import LambdaClient

_EVENT = "lambda.Invoke"
_SIGNATURE = "v4"
"""The one way of signing that is known here: where the SDK signs otherwise, it makes every request."""
_EACH_ITS_OWN = frozenset({"amz-sdk-invocation-id", "amz-sdk-request"})
_REFUSED = 300
_learning: ContextVar["list[_Example] | None"] = ContextVar("learning", default=None)


@dataclass(frozen=True, slots=True)
class _Example:
    """A request that the SDK has made, as far as the next ones are like it.

    `sdk` is the client's own signer: it has the credentials and renews them.
    """

    url: str
    headers: dict[str, str]
    sdk: Any
    signing_name: str
    region: str
    signer: Signer

    async def like_it(self, payload: bytes) -> Any:
        """Make another one. Raises NoCredentialsError, and what renewing the credentials raises."""
        auth = await self.sdk.get_auth_instance(self.signing_name, self.region, _SIGNATURE)
        headers: Any = self.headers | self.signer.headers(auth.credentials, payload, time.time())
        return AWSPreparedRequest("POST", self.url, headers, payload, stream_output=True)


class QuickInvokes:
    """Invokes functions over one client of the SDK."""

    def __init__(self, client: "LambdaClient") -> None:
        self.client = client
        self._examples: dict[str, _Example] = {}
        self._told: str | None = None
        self._http: Any = getattr(getattr(client, "_endpoint", None), "http_session", None)
        client.meta.events.register(f"before-sign.{_EVENT}", _learn)

    async def invoke(self, name: str, payload: bytes) -> tuple[bytes, bool]:
        """Invoke a function once; gives its reply, and whether it failed. Raises what the SDK raises."""
        example = self._examples.get(name)
        if example is None:
            return await self._by_sdk(name, payload)
        try:
            response = await self._http.send(await example.like_it(payload))
            if response.status_code >= _REFUSED:
                raise await self._refusal(response)
        except SDK_ERRORS as error:
            add_whereabouts(self.client, error)
            raise
        headers = response.headers
        if headers.get("date") != self._told:  # once a second is enough
            self._told = headers.get("date")
            await self._tell({"ResponseMetadata": {"HTTPHeaders": headers}})
        async with StreamingBody(response.raw, headers.get("content-length")) as stream:
            body: bytes = await stream.read()
        return body, "x-amz-function-error" in headers

    async def _by_sdk(self, name: str, payload: bytes) -> tuple[bytes, bool]:
        learned: list[_Example] = []
        learning = _learning.set(learned)
        try:
            reply = await self.client.invoke(FunctionName=name, Payload=payload)
        finally:
            _learning.reset(learning)
        async with reply["Payload"] as stream:
            body = await stream.read()
        if learned and self._http:
            self._examples[name] = learned[-1]
        return body, "FunctionError" in reply

    async def _refusal(self, response: Any) -> Exception:
        """Give a refusal as the SDK would."""
        service: Any = self.client.meta.service_model
        given = {
            "headers": HeadersDict(response.headers),
            "status_code": response.status_code,
            "body": await response.content,
            "context": {"operation_name": "Invoke"},
        }
        parser: Any = create_parser(service.metadata["protocol"])
        parsed = parser.parse(given, service.operation_model("Invoke").output_shape)
        await self._tell(parsed)
        exceptions: Any = self.client.exceptions
        refusal: Exception = exceptions.from_code(parsed.get("Error", {}).get("Code"))(parsed, "Invoke")
        return refusal

    async def _tell(self, parsed: Any) -> None:
        """Tell whoever listens to the SDK's replies."""
        events: Any = self.client.meta.events
        model = self.client.meta.service_model.operation_model("Invoke")
        await events.emit(f"after-call.{_EVENT}", http_response=None, parsed=parsed, model=model, context={})


def _learn(
    request: Any, signing_name: str, region_name: str, signature_version: str, request_signer: Any, **_: Any
) -> None:
    """Note how the SDK makes a request, just before it is signed."""
    learned = _learning.get()
    plain = request.context.get("payload_signing_enabled", True) and "?" not in request.url and not request.params
    if learned is None or signature_version != _SIGNATURE or not plain:
        return
    signing = request.context.get("signing", {})
    name, region = signing.get("signing_name") or signing_name, signing.get("region") or region_name
    headers = {key: value for key, value in request.headers.items() if key.lower() not in _EACH_ITS_OWN}
    learned.append(_Example(request.url, headers, request_signer, name, region, Signer(request.url, region, name)))
