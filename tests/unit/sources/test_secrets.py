"""Secrets: from where they are read, for how long they are kept, and that they are not shown."""

import asyncio
import os
import traceback
from pathlib import Path

import pytest

from scheduler.core.service_calls import Refusal
from scheduler.errors import CloudError
from scheduler.sources.secrets import KEPT_SECONDS, Secrets


class Store:
    """Secrets of AWS in memory."""

    def __init__(self) -> None:
        self.held = {"db": '{"user": "ann", "password": "s3cr3t", "n": 3}', "plain": "s3cr3t"}
        self.reads: list[str] = []
        self.fault: CloudError | None = None

    async def secret(self, name: str) -> str:
        self.reads.append(name)
        await asyncio.sleep(0)
        if self.fault:
            raise self.fault
        return self.held[name]

    async def parameter(self, name: str) -> str:
        return f"parameter {await self.secret(name)}"


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_a_text_is_itself_and_the_environment_is_read_each_time() -> None:
    environment = {"A": "1"}
    secrets = Secrets(environment=environment)
    assert await secrets.read("ann") == "ann"
    assert await secrets.read({"env": "A"}) == "1"
    environment["A"] = "2"
    assert await secrets.read({"env": "A"}) == "2"
    environment["A"] = ""
    with pytest.raises(CloudError, match="environment variable A is not set"):
        await secrets.read({"env": "A"})


async def test_a_file_is_read_anew_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    secrets = Secrets()
    with pytest.raises(CloudError, match="cannot be read: No such file"):
        await secrets.read({"file": str(path)})
    path.write_text("one\n")
    assert await secrets.read({"file": str(path)}) == "one"
    path.rename(tmp_path / "old")
    path.write_text("two\r\n")
    assert await secrets.read({"file": str(path)}) == "two"
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CloudError, match="is no file"):
        await secrets.read({"file": str(tmp_path / "pipe")})
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(CloudError, match="holds no text"):
        await secrets.read({"file": str(path)})


async def test_a_secret_of_aws_is_read_once_for_all_and_kept_for_some_minutes() -> None:
    store, clock = Store(), Clock()
    secrets = Secrets(store, clock=clock)
    reads = [secrets.read({"secret": "db", "key": key}) for key in ("user", "password", "user")]
    assert await asyncio.gather(*reads) == ["ann", "s3cr3t", "ann"]
    assert await secrets.read({"parameter": "plain"}) == "parameter s3cr3t"
    assert store.reads == ["db", "plain"]
    clock.now += KEPT_SECONDS - 1
    await secrets.read({"secret": "db"})
    assert store.reads == ["db", "plain"]
    clock.now += 1
    await secrets.read({"secret": "db"})
    assert store.reads == ["db", "plain", "db"]


async def test_a_refused_secret_is_read_again_once_for_all_who_were_refused() -> None:
    store, clock = Store(), Clock()
    secrets = Secrets(store, clock=clock)
    await secrets.read({"secret": "plain"})
    store.held["plain"] = "rotated"
    clock.now = sent_at = 101.0
    clock.now = 102.0
    for _ in range(3):
        secrets.forget({"secret": "plain"}, sent_at)
        assert await secrets.read({"secret": "plain"}) == "rotated"
    assert store.reads == ["plain", "plain"]
    for other in ("ann", {"env": "A"}, {"file": "/a"}, {"secret": "never read"}):
        secrets.forget(other, sent_at)


async def test_a_failed_read_is_not_kept_and_each_who_waited_is_told() -> None:
    store = Store()
    store.fault = CloudError("throttled", Refusal.THROTTLED)
    secrets = Secrets(store)
    both = await asyncio.gather(*[secrets.read({"secret": "plain"}) for _ in range(2)], return_exceptions=True)
    assert both == [store.fault] * 2
    store.fault = None
    assert await secrets.read({"secret": "plain"}) == "s3cr3t"
    assert len(store.reads) == 2


async def test_whoever_gives_up_waiting_does_so_for_itself_alone() -> None:
    store = Store()
    secrets = Secrets(store)
    one, other = (asyncio.create_task(secrets.read({"secret": "plain"})) for _ in range(2))
    await asyncio.sleep(0)
    one.cancel()
    assert await other == "s3cr3t"
    assert store.reads == ["plain"]


@pytest.mark.parametrize(("name", "key"), [("plain", "password"), ("db", "gone"), ("db", "n")])
async def test_a_secret_that_is_not_as_the_entry_has_it_is_not_shown(name: str, key: str) -> None:
    with pytest.raises(CloudError, match=f"key {key}") as raised:
        await Secrets(Store()).read({"secret": name, "key": key})
    assert raised.value.refusal is Refusal.CREDENTIALS
    assert "s3cr3t" not in "".join(traceback.format_exception(raised.value))


async def test_without_aws_its_secrets_cannot_be_read() -> None:
    with pytest.raises(CloudError, match="nothing here reads secrets of AWS"):
        await Secrets().read({"secret": "db"})
