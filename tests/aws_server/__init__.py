"""A server with the semantics of AWS and with faults on order, for tests.

It answers Step Functions, Lambda and STS as AWS documents it, and passes DynamoDB on to a real one; one address serves
all four, so that AWS_ENDPOINT_URL alone leads a daemon there. Nothing here sleeps: time-outs and delays follow
`aws.clock`, which a test may advance or stop (`Clock(running=False)`).

    async with AwsServer.running(dynamodb_local) as aws:      # in a test's loop; dynamodb_local is a fixture
        token = aws.tokens.waiting(timeout_seconds=60)        # a task that waits; SendTaskSuccess with it ends it
        aws.jobs.add("job-1", polls=2)                        # of poc-simulated-api: in progress once, then COMPLETED
        ...                                                   # run what is tested against aws.endpoint
        assert [answer.operation for answer in aws.ledger[token]] == ["SendTaskSuccess"]
        assert (aws.ledger.offered(token), aws.jobs.checks("job-1"), aws.tokens.status(token)) == (1, 2, "SUCCEEDED")

    with AwsServer.in_thread(dynamodb_local) as aws:          # the same for tests without a loop
    python -m tests.aws_server --port 0 --dynamodb-url URL    # the same as a process; it prints its address
    POST /_control/faults.fail {"operation": "SendTaskSuccess", "code": "ThrottlingException", "times": 2}

Faults are the same for every operation ("UpdateItem", "SendTask*", "dynamodb:*", "*") and take `times` (1; None for
all), `skip`, `containing` (text in the request's body), `fraction` and `seed`:

    aws.faults.fail("SendTaskSuccess", code="ThrottlingException", times=2)
    aws.faults.fail("UpdateItem", code="ProvisionedThroughputExceededException", containing="job-1")
    aws.faults.drop_reply("UpdateItem", skip=1)               # applied, and the connection closed without a reply
    aws.faults.never_answer("Invoke"); aws.faults.late("Invoke", 5); aws.faults.truncate("Query")
    aws.faults.garble("SendTaskSuccess", status=502); aws.faults.throttle("SendTask*", rate=500, burst=3000)
    aws.faults.unprocessed(keys=1)                            # of BatchGetItem
    aws.faults.refuse_statements(code="ThrottlingError", count=2)             # of BatchExecuteStatement
    denied = aws.faults.deny("states:*", code="ExpiredTokenException"); denied.cancel()

    async with aws.faults.hold("SendTaskSuccess", after_apply=True) as held:
        await held.reached()                                  # it is applied, and its reply is held back
        ...
        held.release()

`aws.calls` counts the calls of each operation, `aws.statements` the statements that came in batches.

Every order has `met` (calls so far), `await reached(count)` (`wait(count)` in a thread) and `cancel()`.
"""

from tests.aws_server.faults import Faults
from tests.aws_server.gate import Clock
from tests.aws_server.jobs import Behaviour, Job, Jobs
from tests.aws_server.ledger import Answer, Ledger, Offer
from tests.aws_server.orders import Hold, Order
from tests.aws_server.server import AwsServer
from tests.aws_server.tasks import Tokens

__all__ = [
    "Answer",
    "AwsServer",
    "Behaviour",
    "Clock",
    "Faults",
    "Hold",
    "Job",
    "Jobs",
    "Ledger",
    "Offer",
    "Order",
    "Tokens",
]
