"""The task token: a secret that shows only its fingerprint."""

import hashlib
import re
import sys
from itertools import takewhile

_WORD = re.compile(r"^\S*")
_TELLING = 16  # characters by which the beginning of a token is known
MAX_LENGTH = 2048  # of SendTaskSuccess and SendTaskFailure, in characters


class TaskToken:
    """A task token whose str and repr are masked; `reveal` alone gives the secret."""

    __slots__ = ("_secret",)

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def reveal(self) -> str:
        """Give the secret, for a request to Step Functions and for nothing else."""
        return self._secret

    def fingerprint(self) -> str:
        """Give the first 8 hex digits of the token's SHA-256: enough to compare, useless to an attacker."""
        return hashlib.sha256(self._secret.encode("utf-8", "surrogatepass")).hexdigest()[:8]

    def scrub(self, text: str) -> str:
        """Take the secret out of a text that somebody else wrote, such as a service's error message.

        The text may have been cut, and the secret with it: what begins like it goes as far as it is alike.
        """
        first, *others = text.split(self._secret[:_TELLING])
        rest = self._secret[_TELLING:]
        return str(self).join([first, *(other[_alike(other, rest) :] for other in others)])

    def __str__(self) -> str:
        return f"<token {self.fingerprint()}>"

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TaskToken) and other._secret == self._secret

    def __hash__(self) -> int:
        return hash(self._secret)


class TokenTrace(TaskToken):
    """What is kept of a token whose row is held: enough to know it in a text, and not enough to answer with."""

    __slots__ = ("_fingerprint",)

    def __init__(self, token: TaskToken) -> None:
        super().__init__(sys.intern(token.reveal()[:_TELLING]))
        self._fingerprint = token.fingerprint()

    def reveal(self) -> str:
        """Raise LookupError: whoever needs the secret reads the row again."""
        message = "only the row holds this token"
        raise LookupError(message)

    def fingerprint(self) -> str:
        """Give the fingerprint of the whole token."""
        return self._fingerprint

    def scrub(self, text: str) -> str:
        """Take out of a text whatever begins as the token does, as far as it goes."""
        first, *others = text.split(self._secret)
        return str(self).join([first, *(_WORD.sub("", other, count=1) for other in others)])


def _alike(one: str, other: str) -> int:
    """Count the characters with which both begin."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
