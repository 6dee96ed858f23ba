"""Fixtures of the tests of what knows the SDK."""

from tests.unit.aws.api_fixtures import apis, clients, keys

__all__ = ["apis", "clients", "keys"]
