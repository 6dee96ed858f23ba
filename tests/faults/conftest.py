"""The world that every test of a fault gets for itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.creating import Creating
from tests.faults.world import World


@pytest.fixture
def world(dynamodb_local: str, tmp_path: Path) -> Iterator[World]:
    with World.running(dynamodb_local, tmp_path) as running:
        yield running


@pytest.fixture
def creating(world: World) -> Iterator[Creating]:
    creating = Creating(world)
    yield creating
    creating.close()
