"""Secrets that the poller Lambda reads from where they are kept."""

from pathlib import Path
from typing import Any

import pytest

from held_secrets import KEPT_SECONDS, SecretError, Secrets
from scheduler.core.service_calls import Refusal
from tests.unit.lambdas.lambda_fakes import client_error

VALUE = "s3cr3t"


class Store:
    """Secrets Manager and Systems Manager in memory; notes who is asked for what, and where."""

    def __init__(self, held: dict[str, Any]) -> None:
        self.held = held
        self.asked: list[tuple[str, str | None, str]] = []
        self.now = 0.0
        self.secrets = Secrets(self._client, lambda: self.now)

    def _client(self, service: str, region: str | None) -> Any:
        return _Client(self, service, region)


class _Client:
    def __init__(self, store: Store, service: str, region: str | None) -> None:
        self._store, self._service, self._region = store, service, region

    def get_secret_value(self, *, SecretId: str) -> Any:  # noqa: N803
        return self._found(SecretId)

    def get_parameter(self, *, Name: str, WithDecryption: bool) -> Any:  # noqa: N803
        assert WithDecryption
        return {"Parameter": {"Value": self._found(Name)["SecretString"]}}

    def _found(self, name: str) -> Any:
        self._store.asked.append((self._service, self._region, name))
        held = self._store.held[name]
        if isinstance(held, Exception):
            raise held
        return {"SecretBinary": held} if isinstance(held, bytes) else {"SecretString": held}


def test_a_secret_is_read_where_it_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("S", VALUE)
    (tmp_path / "secret").write_text(f"{VALUE}\n", "utf-8")
    arn = "arn:aws:secretsmanager:eu-west-1:1:secret:api-AbCdEf"
    store = Store({"api": f'{{"token": "{VALUE}"}}', arn: VALUE, "/jobs/token": VALUE})
    read = [
        {"env": "S"},
        {"file": str(tmp_path / "secret")},
        {"secret": "api", "key": "token"},
        {"secret": arn},
        {"parameter": "/jobs/token"},
        VALUE,
    ]
    assert [store.secrets.read(each) for each in read] == [VALUE] * 6  # type: ignore[arg-type]
    assert store.asked == [
        ("secretsmanager", None, "api"),
        ("secretsmanager", "eu-west-1", arn),
        ("ssm", None, "/jobs/token"),
    ]


def test_a_secret_of_aws_is_kept_for_a_while_and_read_anew_where_it_is_refused() -> None:
    store = Store({"api": "old"})
    reference = {"secret": "api"}
    assert store.secrets.read(reference) == "old"
    store.held["api"] = "new"
    assert store.secrets.read(reference) == "old"
    store.secrets.forget(reference)
    assert store.secrets.read(reference) == "new"
    store.held["api"] = "newer"
    store.now = KEPT_SECONDS
    assert store.secrets.read(reference) == "newer"


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ({"env": "UNSET"}, "environment variable UNSET is not set for this function"),
        ({"file": "/nowhere"}, "file /nowhere: No such file or directory"),
        ({"secret": "api", "key": "other"}, "secret api is no JSON with the key other"),
        ({"secret": "list", "key": "other"}, "the key other of secret list is no text"),
        ({"secret": "binary"}, "secret binary holds no text"),
        ({"vault": "x"}, "it is not said where it is kept"),
    ],
)
def test_what_cannot_be_read_is_told_without_what_was_read(
    monkeypatch: pytest.MonkeyPatch, reference: dict[str, str], told: str
) -> None:
    monkeypatch.delenv("UNSET", raising=False)
    store = Store({"api": VALUE, "list": f'{{"other": ["{VALUE}"]}}', "binary": VALUE.encode()})
    with pytest.raises(SecretError) as caught:
        store.secrets.read(reference)
    assert str(caught.value) == f"a secret cannot be read: {told}"
    assert caught.value.report().refusal is Refusal.CREDENTIALS
    assert caught.value.__suppress_context__ or VALUE not in repr(caught.value.__context__)


@pytest.mark.parametrize(
    ("code", "status", "refusal"),
    [
        ("ResourceNotFoundException", 400, Refusal.CREDENTIALS),
        ("ParameterNotFound", 400, Refusal.CREDENTIALS),
        ("AccessDeniedException", 400, Refusal.DENIED),
        ("ThrottlingException", 400, Refusal.THROTTLED),
        ("InternalServiceError", 500, Refusal.UNAVAILABLE),
    ],
)
def test_a_store_that_refuses_says_why_and_is_asked_again(code: str, status: int, refusal: Refusal) -> None:
    store = Store({"api": client_error(code, "as it is", status)})
    for reference in ({"secret": "api"}, {"parameter": "api"}):
        with pytest.raises(SecretError, match=f"api: {code}: as it is") as caught:
            store.secrets.read(reference)
        assert caught.value.refusal is refusal
    store.held["api"] = VALUE
    assert store.secrets.read({"secret": "api"}) == VALUE
