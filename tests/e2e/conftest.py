"""A cloud with everything deployed on it: the embedded one, or the one that E2E_ENDPOINT_URL names."""

import os
import uuid
from collections.abc import Iterator

import pytest

from tests.e2e.cloud import Cloud


@pytest.fixture(scope="session")
def endpoint(request: pytest.FixtureRequest) -> str:
    url: str = os.environ.get("E2E_ENDPOINT_URL") or request.getfixturevalue("ministack")
    return url


@pytest.fixture(scope="session")
def deployed(endpoint: str) -> Cloud:
    cloud = Cloud(endpoint, prefix=f"e2e-{uuid.uuid4().hex[:8]}")
    cloud.succeed("deploy")
    return cloud


@pytest.fixture
def cloud(deployed: Cloud) -> Iterator[Cloud]:
    """Everything deployed, and no row in any table."""
    deployed.clear()
    yield deployed
    deployed.clear()
