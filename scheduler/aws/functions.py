"""Lambda functions: invoking them and asking whether they are there."""

from scheduler.aws.clients import WithFunctions
from scheduler.aws.sdk_errors import SDK_ERRORS, reading
from scheduler.core.invocation import Invocation, NoInvocation, not_invoked
from scheduler.core.service_calls import Refusal, call_error


class Functions:
    """Invokes Lambda functions and waits for their replies."""

    def __init__(self, clients: WithFunctions) -> None:
        self._clients = clients

    async def invoke(self, name: str, payload: bytes) -> Invocation | NoInvocation:
        """Invoke a function and wait for its reply; never raises an error of the SDK."""
        try:
            reply = await self._clients.functions.invoke(FunctionName=name, Payload=payload)
            async with reply["Payload"] as stream:
                body = await stream.read()
        except SDK_ERRORS as error:
            return not_invoked(name, call_error(error))
        return Invocation(body, failed="FunctionError" in reply)

    async def probe(self, name: str) -> None:
        """Ask whether a function is there. Raises MissingError or CloudError; being denied says nothing."""
        async with reading("function", name):
            try:
                await self._clients.functions.get_function_configuration(FunctionName=name)
            except SDK_ERRORS as error:
                # Invoking needs no right to read a function's configuration, so that this denial proves nothing.
                if call_error(error).refusal is not Refusal.DENIED:
                    raise
