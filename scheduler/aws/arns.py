"""Where resources live, for their ARNs."""

from dataclasses import dataclass

from scheduler.aws.clients import AdminClients
from scheduler.aws.sdk_errors import translated


@dataclass(frozen=True, slots=True)
class Place:
    """A partition, a region and an account."""

    partition: str
    region: str
    account: str

    def arn(self, service: str, resource: str) -> str:
        """Give the ARN of a resource."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"

    def state_machine(self, name: str) -> str:
        """Give the ARN of a state machine."""
        return self.arn("states", f"stateMachine:{name}")


def function_arn(place: Place, name: str) -> str:
    """Give a function's ARN; one that is given as an ARN stays as it is."""
    return name if name.startswith("arn:") else place.arn("lambda", f"function:{name}")


def function_name(given: str) -> str:
    """Give a function's bare name, of which its log group is named; it may be given as an ARN or with an alias."""
    _, _, named = given.rpartition(":function:")
    return named.partition(":")[0]


async def place_of(clients: AdminClients) -> Place:
    """Ask whose credentials these are. Raises CloudError."""
    with translated("account", "of these credentials"):
        caller = await clients.sts.get_caller_identity()
    return Place(caller["Arn"].split(":")[1], clients.sts.meta.region_name, caller["Account"])
