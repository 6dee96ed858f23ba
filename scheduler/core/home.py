"""Home: the region and the account whose tasks can be answered from here."""

from dataclasses import dataclass

_ARN_PARTS = 6


@dataclass(slots=True)
class Home:
    """A region and an account; None where unknown, which then rules nothing out."""

    region: str | None = None
    account: str | None = None

    def excludes(self, execution_id: object) -> str | None:
        """Say why an execution cannot be answered from here: its ARN is of another region or account."""
        parts = execution_id.split(":", _ARN_PARTS) if isinstance(execution_id, str) else []
        if len(parts) <= _ARN_PARTS or parts[0] != "arn" or parts[2] != "states":
            return None
        region, account = parts[3], parts[4]
        if self.region and region != self.region:
            return f"its execution is in region {region}, and this is {self.region}"
        if self.account and account != self.account:
            return f"its execution is in account {account}, and this is {self.account}"
        return None
