"""The soak's short form, for CI. SOAK_SEED gives it another seed."""

import os

from tests.soak.plan import Options
from tests.soak.soak import soak

SEED = int(os.environ.get("SOAK_SEED", "1"))


async def test_nothing_is_lost_and_nothing_answered_wrongly_whatever_dies_or_fails(dynamodb_local: str) -> None:
    options = Options(seed=SEED, workflows=80, rounds=1, kill_seconds=6, blackout_every=3, settle_seconds=60)
    result = await soak(options, dynamodb_local)
    assert not result.wrong, "\n".join([f"seed {SEED}: {result.summary}", *result.wrong])
    assert result.summary["answersEffective"] == 80
