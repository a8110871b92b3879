"""What goes in and out over HTTP about clients and log-in."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

from shared.accounts.passwords import checked_password
from shared.formats.emails import checked_email
from shared.formats.names import checked_name, name_field
from shared.models import NO_NUL, Input, Model, example

Role = Literal["client", "admin"]


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("may not contain the NUL character")
    return text


Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    AfterValidator(checked_name),
    name_field(200, "Ana Souza"),
]
Email = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=254),
    AfterValidator(checked_email),
    Field(
        description="Unique among the clients; upper and lower case are the same.",
        examples=["ana@example.com"],
        json_schema_extra={"format": "email"},
    ),
]
NewPassword = Annotated[
    str,
    StringConstraints(min_length=8, max_length=128),
    AfterValidator(checked_password),
    Field(
        description="8 to 128 characters of any kind. The most common passwords are refused, and those that "
        "are made of the own name or e-mail.",
        examples=["correct horse battery"],
        json_schema_extra={"format": "password"},
    ),
]
Password = Annotated[
    str,
    StringConstraints(min_length=1, max_length=128),
    Field(examples=["correct horse battery"], json_schema_extra={"format": "password"}),
]
OpaqueToken = Annotated[
    str,
    StringConstraints(min_length=1, max_length=512),
    Field(examples=["0GcV0i9y0Yw3pX7mJ3bZb7h6k2c1l5n8q4r9s2t6u1w"]),
]


# ── Clients ───────────────────────────────────────────────────────────────────────────────────────────────


class NewClient(Input):
    """The data of a registration."""

    name: Name
    email: Email
    password: NewPassword


class ClientChanges(Input):
    """What of a client changes (RFC 7396 merge patch): fields that are left out stay as they are.

    Changing one's own e-mail or password takes the current password too.
    """

    model_config = example({"name": "Ana Maria Souza"})

    # The default stands for "left out" (a factory keeps it out of the schema); null is no value of any field.
    name: Name = Field(default_factory=str)
    email: Email = Field(default_factory=str)
    password: NewPassword = Field(default_factory=str)
    current_password: Password = Field(default_factory=str)


class Client(Model):
    """Somebody who keeps favorites, or administers the service."""

    client_id: UUID
    name: Annotated[str, Field(examples=["Ana Souza"])]
    email: Annotated[str, Field(examples=["ana@example.com"])]
    role: Role
    created_at: datetime
    updated_at: datetime


# ── Log-in ────────────────────────────────────────────────────────────────────────────────────────────────


class Credentials(Input):
    """What a client logs in with."""

    email: Annotated[
        str,
        StringConstraints(max_length=254),
        AfterValidator(_without_nul),
        Field(examples=["ana@example.com"], json_schema_extra={"pattern": NO_NUL}),
    ]
    password: Password


class RefreshTokenInput(Input):
    """The refresh token that a log-in or the last refresh gave."""

    refresh_token: OpaqueToken


class Tokens(Model):
    """An access token (RFC 9068) for `expires_in` seconds, and a refresh token that works once."""

    access_token: Annotated[
        str, Field(examples=["eyJhbGciOiJIUzI1NiIsInR5cCI6ImF0K2p3dCJ9.e30.c2lnbmF0dXJl"])
    ]
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 — the scheme's name (RFC 6750), no secret
    expires_in: Annotated[int, Field(description="Seconds.", examples=[900])]
    refresh_token: str
