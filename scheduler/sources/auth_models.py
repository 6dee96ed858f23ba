"""How an entry says who asks: five kinds of auth, and where their secrets are kept."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Strict(BaseModel):
    """A part of an entry: no key that is not known, no value that would have to be converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


def exactly_one(given: Any, names: set[str], what: str) -> None:
    """Raise ValueError unless exactly one of these keys is given."""
    found = sorted(names & set(given)) if isinstance(given, dict) else []
    if isinstance(given, dict) and len(found) != 1:
        there = f"there are {' and '.join(found)}" if found else "there is none"
        message = f"{there}; {what} is exactly one of {', '.join(sorted(names))}"
        raise ValueError(message)


Text = Annotated[str, Field(min_length=1)]
_REFERENCE = "where the secret is kept"


class Secret(Strict):
    """Where a secret is kept; it never stands in the file itself."""

    env: Text | None = Field(None, description="the name of an environment variable")
    file: Text | None = Field(None, description="the path of a file")
    secret: Text | None = Field(None, description="the name or ARN of a secret in Secrets Manager")
    key: Text | None = Field(None, description="the key of it in the secret's JSON")
    parameter: Text | None = Field(None, description="the name or ARN of a parameter of Systems Manager")

    @model_validator(mode="before")
    @classmethod
    def _one_place(cls, given: Any) -> Any:
        exactly_one(given, {"env", "file", "secret", "parameter"}, _REFERENCE)
        if isinstance(given, dict) and "key" in given and "secret" not in given:
            message = "key goes with secret alone"
            raise ValueError(message)
        return given


_PLACES = (
    "no secret itself, but where it is kept: {env: NAME}, {file: PATH}, {secret: NAME, key: KEY} or {parameter: NAME}"
)


class Basic(Strict):
    """A user's name and password."""

    username: Text | Secret = Field(description=f"a text, or {_PLACES}")
    password: Secret = Field(description=_PLACES)


class Header(Strict):
    """A header of one's own, such as X-Api-Key."""

    name: str = Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$", description="the name of a header")
    value: Secret = Field(description=_PLACES)


class SigV4(Strict):
    """A signature of AWS, version 4."""

    service: Text = Field(description="the signing name of the service, such as execute-api")
    region: str | None = Field(None, pattern=r"^[a-z]{2}(-[a-z]+)+-\d$", description="a region such as eu-west-1")
    role_arn: str | None = Field(None, pattern=r"^arn:aws[a-z-]*:iam::\d{12}:role/.+$", description="a role's ARN")


class OAuth2(Strict):
    """Client credentials of OAuth 2."""

    token_url: str = Field(pattern=r"^https?://[^\s/?#@{}]+[^\s#{}]*$", description="an https address, as it is")
    client_id: Text | Secret = Field(description=f"a text, or {_PLACES}")
    client_secret: Secret = Field(description=_PLACES)
    scope: Text | None = Field(None, description="a text, scopes with blanks between them")
    audience: Text | None = Field(None, description="a text")


class Auth(Strict):
    """Who asks: exactly one of these."""

    bearer: Secret | None = Field(None, description=_PLACES)
    basic: Basic | None = Field(None, description="username and password")
    header: Header | None = Field(None, description="name and value")
    sigv4: SigV4 | None = Field(None, description="service, and maybe region and role_arn")
    oauth2: OAuth2 | None = Field(None, description="token_url, client_id, client_secret, and maybe scope and audience")

    @model_validator(mode="before")
    @classmethod
    def _one_kind(cls, given: Any) -> Any:
        exactly_one(given, {"bearer", "basic", "header", "sigv4", "oauth2"}, "auth")
        return given
