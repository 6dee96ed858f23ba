"""Lambda zips that are the same to the byte whenever their sources are."""

import base64
import hashlib
import io
import zipfile
from dataclasses import dataclass

from scheduler.assets import asset, check_files, core_files

SOURCES = "sources.json"
"""The name of the entries of the sources in the poller's zip."""


@dataclass(frozen=True, slots=True)
class Package:
    """The code of a Lambda function."""

    content: bytes

    @property
    def code_sha256(self) -> str:
        """Give the digest as Lambda tells it in `CodeSha256`."""
        return base64.b64encode(hashlib.sha256(self.content).digest()).decode()


def pack(folder: str, *, core: bool, sources: bytes | None = None) -> Package:
    """Pack a folder of `lambdas/`, with the core beside it where the function runs the protocol.

    `sources` are those of a function that asks them itself, and come with what reads them.

    Entries are stored and not deflated, since a digest must not depend on the machine's version of zlib.
    """
    files = {path.name: path.read_bytes() for path in sorted(asset("lambdas", folder).glob("*.py"))}
    if core:
        files |= core_files()
    if sources is not None:
        files |= check_files() | {SOURCES: sources}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
    return Package(packed.getvalue())
