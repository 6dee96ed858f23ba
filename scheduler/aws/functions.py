"""Lambda functions: invoking them, handing events over to them, and asking whether they are there."""

from scheduler.aws.clients import WithFunctions
from scheduler.aws.quick_invokes import QuickInvokes
from scheduler.aws.sdk_errors import SDK_ERRORS, reading
from scheduler.core.invocation import Invocation, NoInvocation, not_invoked
from scheduler.core.service_calls import Refusal, call_error

_ACCEPTED = 202


class Functions:
    """Invokes Lambda functions, and waits for their replies or not."""

    def __init__(self, clients: WithFunctions) -> None:
        self._clients = clients
        self._quick: QuickInvokes | None = None

    async def invoke(self, name: str, payload: bytes) -> Invocation | NoInvocation:
        """Invoke a function and wait for its reply; never raises an error of the SDK."""
        client = self._clients.functions
        if self._quick is None or self._quick.client is not client:  # made anew, with better credentials
            self._quick = QuickInvokes(client)
        try:
            body, failed = await self._quick.invoke(name, payload)
        except SDK_ERRORS as error:
            return not_invoked(name, call_error(error))
        return Invocation(body, failed)

    async def hand_over(self, name: str, payload: bytes) -> NoInvocation | None:
        """Put an event into a function's queue; None once Lambda has it. Never raises an error of the SDK."""
        try:
            reply = await self._clients.functions.invoke(FunctionName=name, Payload=payload, InvocationType="Event")
            async with reply["Payload"] as stream:
                await stream.read()
        except SDK_ERRORS as error:
            return not_invoked(name, call_error(error))
        if reply["StatusCode"] == _ACCEPTED:
            return None
        return NoInvocation(f"function {name}: its event was answered with {reply['StatusCode']}, and not taken")

    async def probe(self, name: str) -> None:
        """Ask whether a function is there. Raises MissingError or CloudError; being denied says nothing."""
        async with reading("function", name):
            try:
                await self._clients.functions.get_function_configuration(FunctionName=name)
            except SDK_ERRORS as error:
                # Invoking needs no right to read a function's configuration, so that this denial proves nothing.
                if call_error(error).refusal is not Refusal.DENIED:
                    raise
