"""Secrets: read from where an entry says that they are kept, and never shown."""

import asyncio
import os
import stat
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from scheduler.checks.secret_values import NoValueError, value_of
from scheduler.core.service_calls import Refusal
from scheduler.errors import CloudError
from scheduler.sources.kept import Kept

KEPT_SECONDS = 300.0
"""For how long a secret of AWS is kept; it is read anew earlier where it is refused."""
_MOST_BYTES = 65_536  # Secrets Manager's own bound

SecretReference = str | Mapping[str, str]
"""A text as it is, or one of {env}, {file}, {secret} with {key} or without, and {parameter}."""


class SecretStore(Protocol):
    """Whoever reads secrets of AWS. Both raise CloudError, whose text shows no secret."""

    async def secret(self, name: str) -> str:
        """Read a secret of Secrets Manager, by its name or ARN."""
        ...

    async def parameter(self, name: str) -> str:
        """Read a parameter of Systems Manager, decrypted."""
        ...


@dataclass(frozen=True, slots=True)
class _FileText:
    """What a file held, and the stamp by which a change shows."""

    stamp: tuple[int, int, int]
    text: str = field(repr=False)


class Secrets:
    """Reads secrets. All of them are read when they are needed: a rotated one is taken up without a new start."""

    def __init__(
        self,
        store: SecretStore | None = None,
        environment: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._environment = environment
        self._clock = clock
        self._files: dict[str, _FileText] = {}
        self._kept: dict[tuple[str, str], Kept[str]] = {}

    async def read(self, reference: SecretReference) -> str:
        """Give a secret's value. Raises CloudError where it cannot be read."""
        match reference:
            case str():
                return reference
            case {"env": name}:
                value = self._environment.get(name)
                if not value:
                    why = f"environment variable {name} is not set"
                    raise _unreadable(why)
                return value
            case {"file": path}:
                return await asyncio.to_thread(self._of_file, path)
            case {"secret": name}:
                held = await self._of_store("secret", name)
                try:
                    return value_of(held, name, reference.get("key"))
                except NoValueError as error:
                    raise _unreadable(str(error)) from None
            case {"parameter": name}:
                return await self._of_store("parameter", name)
        why = "it is not said where it is kept"
        raise _unreadable(why)

    def forget(self, reference: SecretReference, sent_at: float) -> None:
        """Read a secret anew when it is next asked for: what was sent at that time was refused."""
        if isinstance(reference, str):
            return
        for kind in reference.keys() & {"secret", "parameter"}:
            if kept := self._kept.get((kind, reference[kind])):
                kept.forget(sent_at)

    async def _of_store(self, kind: str, name: str) -> str:
        if self._store is None:
            why = "nothing here reads secrets of AWS"
            raise _unreadable(why)
        if (kind, name) not in self._kept:
            fetch = self._store.secret if kind == "secret" else self._store.parameter
            self._kept[kind, name] = Kept(partial(_for_a_while, fetch, name), self._clock)
        return await self._kept[kind, name].get()

    def _of_file(self, path: str) -> str:
        try:
            status = Path(path).stat()
            if not stat.S_ISREG(status.st_mode):
                why = f"{path} is no file"  # one that is written to by nobody would hold a thread for ever
                raise _unreadable(why)
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            known = self._files.get(path)
            if known is None or known.stamp != stamp:
                with Path(path).open("rb") as file:
                    text = file.read(_MOST_BYTES).decode()
                # What follows the last line is its editor's.
                known = self._files[path] = _FileText(stamp, text.rstrip("\r\n"))
        except OSError as error:
            why = f"file {path} cannot be read: {error.strerror}"
            raise _unreadable(why) from error
        except UnicodeDecodeError:
            why = f"file {path} holds no text"
            raise _unreadable(why) from None
        return known.text


async def _for_a_while(fetch: Callable[[str], Any], name: str) -> tuple[str, float]:
    return await fetch(name), KEPT_SECONDS


def _unreadable(why: str) -> CloudError:
    return CloudError(f"a secret cannot be read: {why}", Refusal.CREDENTIALS)
