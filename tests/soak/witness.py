"""The witness: which replica has made which check, and whether another one held the row then."""

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from scheduler import clock
from scheduler.core.instant import parse_iso
from scheduler.core.replica_rows import PREFIX
from tests.aws_server import AwsServer
from tests.aws_server.gate import Clock
from tests.aws_server.ledger import Offer
from tests.aws_server.wire import Call, Reply

CHECK_TIMEOUT_SECONDS = 1.0
Life = tuple[str, int]
"""One life of a replica: the access key of its process, and how often it had slept by then."""
ReadRow = Callable[[str], Awaitable[dict[str, Any] | None]]


class Witness:
    """Sees every call that no fault has kept from being applied."""

    def __init__(self) -> None:
        self.checks: defaultdict[str, Counter[Life]] = defaultdict(Counter)
        """How many checks each life has made, by job."""
        self.cut_short: set[Life] = set()
        """Lives that ended by a kill or a sleep with rows held: what they knew since their last writes is forgotten."""
        self.late_checks: Counter[str] = Counter()
        """Checks of jobs whose time was over, by job."""
        self.trespasses: list[str] = []
        """Checks of rows that another replica held just then."""
        self.read_row: ReadRow | None = None
        self._sleeps: Counter[str] = Counter()
        self._keys: dict[str, str] = {}
        """The access key of each replica, by the name under which it beats and holds rows."""

    def life(self, key: str) -> Life:
        """Give the life that a process is in."""
        return key, self._sleeps[key]

    def slept(self, key: str) -> None:
        """Note that a process has slept and wakes up."""
        self.cut_short.add(self.life(key))
        self._sleeps[key] += 1

    def killed(self, key: str) -> None:
        """Note that a process was killed."""
        self.cut_short.add(self.life(key))

    async def see(self, call: Call) -> None:
        """Look at a call that is about to be applied."""
        key = call.headers.get("Authorization", "").partition("Credential=")[2].partition("/")[0]
        if call.operation == "UpdateItem":
            job_id = call.json["Key"]["jobId"]["S"]
            if job_id.startswith(PREFIX) and call.json["UpdateExpression"].startswith("SET"):  # a beat, and no REMOVE
                self._keys[job_id.removeprefix(PREFIX)] = key
        elif call.operation == "Invoke":
            job_id = call.json["jobId"]
            self.checks[job_id][self.life(key)] += 1
            row = (await self.read_row(job_id) if self.read_row else None) or {}
            self.late_checks[job_id] += "expiresAt" in row and clock.now() >= parse_iso(row["expiresAt"])
            holder = self._keys.get(row.get("heldBy", ""), key)
            if holder != key and not _given_up(call):
                self.trespasses.append(f"{key} has checked {job_id}, which {holder} held")


class WatchedServer(AwsServer):
    """The server with AWS's semantics, and a witness in it."""

    def __init__(self, dynamodb_url: str | None = None, *, clock: Clock | None = None, port: int = 0) -> None:
        super().__init__(dynamodb_url, clock=clock, port=port)
        self.witness = Witness()

    async def _apply(self, call: Call, offer: Offer | None) -> Reply:
        await self.witness.see(call)
        return await super()._apply(call, offer)


def _given_up(call: Call) -> bool:
    """Tell whether whoever sent a call may have given it up by now, or was asleep when it should have gone out."""
    sent = datetime.strptime(call.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return (datetime.now(UTC) - sent).total_seconds() >= CHECK_TIMEOUT_SECONDS
