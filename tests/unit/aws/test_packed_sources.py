"""What of the file of sources goes into the poller Lambda, and what is refused because it cannot."""

import io
import json
import zipfile
from typing import Any

import pytest

from scheduler.aws.deploy_functions import create_job, poller
from scheduler.aws.packing import pack
from scheduler.aws.poller_sources import askable, out_of_reach, require_askable, sources_json
from scheduler.errors import SettingsError
from scheduler.settings import Settings

pytestmark = pytest.mark.usefixtures("no_settings")

PLAIN = {"http": {"url": "https://example.com/{jobId}"}, "status": "body.state"}


def with_auth(**auth: Any) -> dict[str, Any]:
    return {"http": {"url": "https://example.com/{jobId}", "auth": auth}}


def files(sources: bytes | None) -> dict[str, bytes]:
    packed = zipfile.ZipFile(io.BytesIO(pack("poller", core=True, sources=sources).content))
    return {name: packed.read(name) for name in packed.namelist()}


def test_the_entries_are_packed_beside_what_reads_them() -> None:
    entries = {"reports": PLAIN}
    found = files(sources_json(entries))
    assert json.loads(found["sources.json"]) == entries
    assert {"scheduler/checks/spec.py", "scheduler/core/protocol.py", "poller.py"} <= found.keys()
    assert [name for name in found if name.startswith("scheduler/aws")] == []


def test_the_poller_is_packed_with_its_sources_and_no_other_function_is() -> None:
    settings = Settings.load()
    assert poller(settings).sources == b"{}"
    assert poller(settings, {"reports": PLAIN}).sources == sources_json({"reports": PLAIN})
    assert create_job(settings).sources is None
    assert not [name for name in files(None) if name.startswith("scheduler/checks") or name == "sources.json"]


def test_the_same_entries_in_another_order_are_the_same_to_the_byte() -> None:
    one, other = {"a": {"x": 1, "y": 2}, "b": {}}, {"b": {}, "a": {"y": 2, "x": 1}}
    assert pack("poller", core=True, sources=sources_json(one)) == pack(
        "poller", core=True, sources=sources_json(other)
    )


@pytest.mark.parametrize(
    ("auth", "what"),
    [
        ({"bearer": {"env": "TOKEN"}}, "environment variable TOKEN"),
        ({"header": {"name": "X-Key", "value": {"file": "/run/secrets/key"}}}, "file /run/secrets/key"),
        ({"basic": {"username": {"secret": "u"}, "password": {"env": "PASSWORD"}}}, "environment variable PASSWORD"),
        ({"oauth2": {"client_id": "me", "client_secret": {"env": "SECRET"}}}, "environment variable SECRET"),
    ],
)
def test_a_secret_of_the_daemons_own_machine_is_out_of_reach(auth: dict[str, Any], what: str) -> None:
    entry = with_auth(**auth)
    assert out_of_reach(entry) == (
        f"a secret of it is kept in the {what}, which the poller Lambda has not; keep it in Secrets Manager"
        " ({secret: NAME}) or Parameter Store ({parameter: NAME})"
    )
    assert askable({"a": entry, "b": PLAIN}) == {"b": PLAIN}


@pytest.mark.parametrize(
    "entry",
    [
        PLAIN,
        with_auth(bearer={"secret": "s", "key": "k"}),
        with_auth(header={"name": "env", "value": {"parameter": "p"}}),
        with_auth(sigv4={"service": "execute-api"}),
        {"aws": {"service": "ecs", "operation": "X", "parameters": {"env": "TOKEN", "file": "f"}}},
    ],
)
def test_a_secret_of_aws_is_within_reach_and_what_is_no_secret_does_not_count(entry: dict[str, Any]) -> None:
    assert out_of_reach(entry) is None


def test_in_lambda_mode_such_a_source_is_refused_and_in_direct_mode_the_daemon_asks_it() -> None:
    entries = {"reports": with_auth(bearer={"env": "TOKEN"}), "good": PLAIN}
    require_askable(Settings.load(), entries)
    with pytest.raises(
        SettingsError, match=r"^source reports: a secret of it is kept in the environment variable TOKEN"
    ):
        require_askable(Settings.load(mode="lambda"), entries)


@pytest.mark.parametrize(("mode", "seconds"), [("direct", 900), ("lambda", 326)])
def test_an_invocation_may_take_as_long_as_the_slowest_source(mode: str, seconds: int) -> None:
    slow = {
        "slow": PLAIN | {"timeout_seconds": 300 if mode == "lambda" else 899},
        "quick": PLAIN | {"timeout_seconds": 1},
    }
    settings = Settings.load(mode=mode)
    require_askable(settings, slow)
    assert poller(settings).timeout_seconds == 36
    assert poller(settings, slow).timeout_seconds == seconds


def test_a_source_that_no_invocation_can_wait_for_is_refused_in_lambda_mode() -> None:
    slow = {"slow": PLAIN | {"timeout_seconds": 300}}
    with pytest.raises(SettingsError) as caught:
        require_askable(Settings.load(mode="lambda", lambda_batch_size=25), slow)
    assert str(caught.value) == (
        "source slow: timeout_seconds: 300 is not allowed in lambda mode with SCHEDULER_LAMBDA_BATCH_SIZE=25, where an"
        " invocation may take 900 s"
    )
