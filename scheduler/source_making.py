"""Making sources: from the spec of an entry to what asks, with connections and clients that are its own."""

from contextlib import AsyncExitStack

from scheduler.aws.api_clients import ApiClients
from scheduler.aws.api_source import AwsSource
from scheduler.aws.clients import open_session
from scheduler.aws.functions import Functions
from scheduler.aws.name_lookup import TimedResolver
from scheduler.aws.secrets import AwsSecrets
from scheduler.aws.sigv4 import SigV4Signer
from scheduler.checks.spec import AskAws, AskHttp, AskLambda, SourceSpec
from scheduler.sources import Source
from scheduler.sources.batching import BatchingSource
from scheduler.sources.http import HttpSource
from scheduler.sources.http_exchange import open_http_session
from scheduler.sources.lambda_function import LambdaSource
from scheduler.sources.secrets import Secrets


class SourceMaker:
    """Makes sources. What one of them opens is its own: one that hangs takes no connection from another."""

    def __init__(self, functions: Functions | None, slots: int, check_seconds: float, stack: AsyncExitStack) -> None:
        """Take what is for sources that say nothing else, and what closes all that they open.

        Without `functions` it makes no sources that are Lambda functions.
        """
        self._functions = functions
        self._slots = slots
        self._check_seconds = check_seconds
        self._stack = stack
        self._resolver = TimedResolver()  # one for all: a name that hangs takes one thread, whoever asks for it

    async def made(self, spec: SourceSpec) -> Source:
        """Make a source, one that gathers batches where it takes them."""
        seconds = spec.limits.timeout_seconds or self._check_seconds
        # No more than so many polls are ever in flight: a larger batch would wait for jobs that cannot come.
        slots = spec.limits.concurrency or self._slots
        match spec.ask:
            case AskHttp():
                return await self.http(spec)
            case AskAws(batch=batch):
                api = AwsSource(spec.ask, spec.reading, self.clients(slots, seconds))
                size = min(batch.most, slots) if batch else 1
                return BatchingSource(api, spec.name, size, seconds) if size > 1 else api
            case AskLambda(function, batch_size):
                if self._functions is None:
                    message = f"source {spec.name} is a function"
                    raise TypeError(message)
                function_source = LambdaSource(self._functions, function)
                size = min(batch_size, slots)
                return BatchingSource(function_source, spec.name, size, seconds) if size > 1 else function_source

    async def http(self, spec: SourceSpec) -> HttpSource:
        """Make an HTTP source."""
        slots = spec.limits.concurrency or self._slots
        seconds = spec.limits.timeout_seconds or self._check_seconds
        clients = self.clients(slots, seconds)
        session = await self._stack.enter_async_context(open_http_session(slots, self._resolver))
        secrets = Secrets(AwsSecrets(lambda service, region: clients.client(AskAws(service, "", region=region))))
        signs = isinstance(spec.ask, AskHttp) and "sigv4" in (spec.ask.auth or {})
        signer = SigV4Signer(clients.frozen, open_session().region_name) if signs else None
        return HttpSource(spec, session, secrets, self._check_seconds, signer)

    def clients(self, slots: int, seconds: float) -> ApiClients:
        """Give clients for one source; they are made when they are first needed."""
        clients = ApiClients(slots, seconds)
        self._stack.push_async_callback(clients.aclose)
        return clients
