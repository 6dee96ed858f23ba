"""What the tests of sources share."""

from collections.abc import Iterator

import pytest

from tests.http_jobs.server import HttpJobs


@pytest.fixture
def service() -> Iterator[HttpJobs]:
    with HttpJobs.running() as running:
        yield running
