"""Bodies of requests, as pydantic models. What a client left out is known from ``model_fields_set``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ReplicaPatch(_Body):
    """What is to be changed of a replica; what is left out stays."""

    admin: Literal["ready", "drain", "maint"] = Field(
        default="ready", description="`drain`: no new sessions. `maint`: not probed either."
    )
    weight: Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)] = Field(
        default=1.0, description="Share of the sessions relative to others in the same tier."
    )
    max_sessions: Literal["auto"] | Annotated[int, Field(strict=True, ge=1)] = Field(
        default="auto", description="Sessions that it serves at once; `auto`: as it reports."
    )
    move: bool = Field(
        default=True,
        description="With `drain`: false leaves its sessions where they are. Sessions cannot be moved yet.",
    )


#: RFC 6455 section 7.4: those that may stand in a close frame. 1004 to 1006 and 1015 never may; 1010 is a client's.
_CODES = (range(1000, 1004), range(1007, 1010), range(1011, 1015), range(3000, 5000))


class SessionClose(_Body):
    """How a session is closed."""

    code: Annotated[int, Field(strict=True)] = Field(default=1012, description="Close code for the client.")
    reason: str = Field(
        default="closed by an operator", description="Close reason for the client, 123 bytes in UTF-8 at most."
    )

    @field_validator("code")
    @classmethod
    def _can_be_sent(cls, code: int) -> int:
        if not any(code in known for known in _CODES):
            raise ValueError("must be 1000-1003, 1007-1009, 1011-1014 or 3000-4999 (RFC 6455 section 7.4)")
        return code

    @field_validator("reason")
    @classmethod
    def _fits(cls, reason: str) -> str:
        try:
            size = len(reason.encode())
        except UnicodeEncodeError:
            raise ValueError("must be valid Unicode") from None
        if size > 123:
            raise ValueError(f"must be 123 bytes at most, not {size} (RFC 6455 section 5.5)")
        return reason
