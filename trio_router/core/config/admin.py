"""The ``router.admin`` block: where operators order things at run time, and who may."""

from __future__ import annotations

import ipaddress
from typing import Final, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from trio_router.core.config.blocks import Block, Items

Role = Literal["viewer", "operator"]
#: A token below it can be guessed; 16 random characters of base64 are 96 bits.
TOKEN_CHARACTERS: Final = 16


class AdminToken(Block):
    """Who may use the admin API, and for what."""

    model_config = ConfigDict(hide_input_in_errors=True)  # `token`

    name: str = Field(min_length=1, description="Who it is: changes are logged under this name.")
    token: str | None = Field(
        default=None,
        min_length=TOKEN_CHARACTERS,
        repr=False,
        description="Sent as `Authorization: Bearer TOKEN`; 16 characters or more, without spaces. Needed, here or in "
        "a file.",
    )
    role: Role = Field(description="`viewer` may look, `operator` may also order.")

    @field_validator("token")
    @classmethod
    def _can_be_sent(cls, token: str | None) -> str | None:
        if token is not None and not all("!" <= character <= "~" for character in token):
            raise ValueError("must consist of printable ASCII characters without spaces")
        return token

    @model_validator(mode="after")
    def _some_token(self) -> AdminToken:
        if self.token is None:
            raise ValueError("give token, or token_file")
        return self


class AdminConfig(Block):
    """The admin API. It is off unless ``port`` or ``socket`` is set."""

    model_config = ConfigDict(hide_input_in_errors=True)

    host: str = Field(default="127.0.0.1", min_length=1, description="Address that `port` listens on.")
    port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="Port of the admin API, never the stream port; 0 picks a free one. Trap: without TLS tokens can be "
        "read on the way; put a proxy with TLS in front of an address that others can reach.",
    )
    socket: str | None = Field(
        default=None,
        min_length=1,
        description="Unix socket of the admin API. Only the router's own user can open it.",
    )
    tokens: Items[AdminToken] = Field(
        default=(),
        description="Who may do what. Without any, whoever can reach the socket or the loopback address is an operator; "
        "on another address at least one is needed.",
    )

    @property
    def enabled(self) -> bool:
        """Whether there is an admin API."""
        return self.port is not None or self.socket is not None

    @field_validator("tokens")
    @classmethod
    def _distinct(cls, tokens: Items[AdminToken]) -> Items[AdminToken]:
        names = [token.name for token in tokens]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"Duplicate name {name!r}")
        if len({token.token for token in tokens}) < len(tokens):
            raise ValueError("two names have the same token")
        return tokens

    @model_validator(mode="after")
    def _not_open_to_strangers(self) -> AdminConfig:
        if self.port is not None and not self.tokens and not is_loopback(self.host):
            raise ValueError(f"tokens: {self.host} is not a loopback address: list at least one token")
        return self


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it. A name other than ``localhost`` may be anything."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
