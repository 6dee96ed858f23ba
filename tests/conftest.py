"""Fixtures that every kind of test shares: the real backends, each started once and only where a test asks for it."""

import os
from collections.abc import Iterator

import pytest

from tests import backends
from tests.moto_server import Moto, moto_server


@pytest.fixture(scope="session")
def ministack() -> Iterator[str]:
    with backends.ministack() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def dynamodb_local() -> Iterator[str]:
    if lacks := backends.dynamodb_local_lacks():
        if os.environ.get("CI") == "true":
            pytest.fail(lacks)
        pytest.skip(lacks)
    with backends.dynamodb_local() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def moto() -> Iterator[Moto]:
    with moto_server() as running:
        yield running
