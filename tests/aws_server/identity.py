"""STS: whose credentials these are. It speaks XML, as the services of AWS that came first do."""

from tests.aws_server.wire import Call, Reply, refuse

ACCOUNT = "000000000000"
_REPLY = """<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>
<Arn>arn:aws:iam::{account}:root</Arn><UserId>{account}</UserId><Account>{account}</Account>
</GetCallerIdentityResult></GetCallerIdentityResponse>"""


async def apply(call: Call) -> Reply:
    """Apply one call. Raises RefusedError."""
    if call.operation != "GetCallerIdentity":
        refuse("InvalidAction", f"no such operation here: {call.operation}")
    return Reply(200, _REPLY.format(account=ACCOUNT).encode(), {"Content-Type": "text/xml"})
