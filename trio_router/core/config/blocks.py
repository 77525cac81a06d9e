"""The blocks of a configuration: one small frozen model each. The field descriptions are the reference in README.md.

Every description says what the key means, and behind "Trap:" what surprises people. Where a default comes from stands
in a comment beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from .units import with_unit

T = TypeVar("T")
if TYPE_CHECKING:  # a checker lets any sequence in, a list too; what is kept is a tuple
    Items = Sequence[T]
else:
    Items = tuple[T, ...]

MIB = 1024 * 1024

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Dialect = Literal["fastvideo", "dreamverse", "opaque"]
Balance = Literal["least_sessions", "first", "round_robin", "random_two", "hash"]


class Block(BaseModel):
    """Frozen, and an unknown key is a mistake. Keys that end in ``_seconds`` or ``_bytes`` take a text with a unit too."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=False)

    @field_validator("*", mode="before")
    @classmethod
    def _units(cls, value: Any, info: ValidationInfo) -> Any:
        return with_unit(info.field_name or "", value)


class TimeoutsConfig(Block):
    """How long each side may take. All in seconds."""

    handshake_seconds: Seconds = Field(
        default=10.0,  # slow-header attacks
        description="A client's whole upgrade request, TLS included, must have come by then.",
    )
    first_message_seconds: Seconds = Field(
        default=10.0,
        description="In `fastvideo`: the client's first message must have come by then; until then it holds no GPU. "
        "Trap: a page that connects long before its user types needs more.",
    )
    connect_seconds: Seconds = Field(
        default=5.0,  # Envoy, vLLM
        description="Dialling one replica and its handshake.",
    )
    first_reply_seconds: Seconds = Field(
        default=30.0,
        description="In `fastvideo`: a replica that has said nothing by then loses the session to another one. "
        "Trap: set it above the time a cold replica needs for its first message.",
    )
    close_seconds: Seconds = Field(
        default=5.0,
        description="For the closing handshake, once one side has ended; then the sockets are dropped.",
    )
    ping_interval_seconds: Seconds = Field(
        default=20.0, description="A leg that was silent for so long is sent a ping."
    )
    dead_peer_seconds: Seconds = Field(
        default=60.0,  # busy GPU servers answer pings late: any frame is life
        description="A leg that gave no frame of any kind for so long is dead. Trap: a replica whose event loop is "
        "blocked by its GPU answers no pings; keep this well above its longest pause.",
    )
    slow_seconds: Seconds = Field(
        default=30.0,
        description="A leg that accepted not one byte for so long while data waits is given up, which frees the GPU.",
    )
    suspect_seconds: Seconds = Field(
        default=5.0,
        description="A session's replica that gives no frame for so long after it was pinged because a probe failed is "
        "dead, while the replica is unhealthy.",
    )

    @model_validator(mode="after")
    def _ping_before_death(self) -> TimeoutsConfig:
        if self.ping_interval_seconds >= self.dead_peer_seconds:
            raise ValueError("ping_interval_seconds must be below dead_peer_seconds, or every quiet session dies")
        return self


class LimitsConfig(Block):
    """How large things may get, and how often a dial is tried."""

    hold_bytes: int = Field(
        default=1 * MIB,
        ge=1024,
        description="A frame of up to this size is forwarded only when it is whole; a longer one is cut through. "
        "Trap: this bounds the memory of a relayed session; before its replica has committed itself, what the client "
        "says is held instead (`client_message_bytes`, `replay_bytes`).",
    )
    client_message_bytes: int = Field(
        default=64 * MIB,  # a 32 MiB initial image is 43 MiB in base64
        ge=1024,
        description="Largest message from a client, over all its fragments; above it: close 1009. "
        "Trap: a replica on uvicorn refuses more than 16 MiB by itself unless told otherwise.",
    )
    replica_message_bytes: int = Field(default=64 * MIB, ge=1024, description="The same for messages from a replica.")
    replay_bytes: int = Field(
        default=16 * MIB,
        ge=0,
        description="What a client has said before its replica committed itself is kept for another replica, up to "
        "this size; with more the session cannot be moved unseen.",
    )
    header_bytes: int = Field(
        default=64 * 1024,
        ge=1024,
        description="Largest head of an HTTP request on the stream port; above it: 431.",
    )
    attempts: int = Field(default=3, ge=1, description="How many different replicas a session is tried on.")
    max_sessions: int | None = Field(
        default=None,
        ge=1,
        description="Open sessions of the whole router, waiting ones included; more get 503. Trap: a session costs two "
        "file descriptors; `ulimit -n` is the harder limit.",
    )


class QueueConfig(Block):
    """The wait queue: sessions that were accepted while no slot was free."""

    length: int = Field(default=100, ge=0, description="How many may wait; 0 means that nobody waits.")  # sgl gateway
    timeout_seconds: Seconds = Field(default=300.0, description="How long one may wait.")  # Dreamverse's sessions
    per_client: int | None = Field(
        default=None,
        ge=1,
        description="Waiting and open sessions for one client (its bearer token if it sends one, else its address). "
        "Trap: viewers behind one NAT, or behind a reverse proxy, share an address; and a token is not verified here, so "
        "who invents tokens evades it: let the proxy in front check them.",
    )


class ShutdownConfig(Block):
    """What SIGTERM does."""

    drain_seconds: float = Field(
        default=600.0,  # Envoy's users
        ge=0,
        allow_inf_nan=False,
        description="Open sessions may go on for so long after the first signal. Trap: set your supervisor's kill "
        "timeout above drain_seconds + spread_seconds + timeouts.close_seconds.",
    )
    spread_seconds: float = Field(
        default=2.0,
        ge=0,
        allow_inf_nan=False,
        description="The closes (1012) of what is left are spread at random over this time, so that the clients do "
        "not all come back in the same instant.",
    )


class TlsConfig(Block):
    """TLS towards clients, and what to trust in https replicas. Files are in PEM."""

    certificate: str | None = Field(default=None, description="Certificate chain of the stream port; needs `key`.")
    key: str | None = Field(default=None, description="Its private key.")
    replica_ca_file: str | None = Field(
        default=None, description="CA file that https replicas are checked against, instead of the system's."
    )

    @model_validator(mode="after")
    def _both_or_none(self) -> TlsConfig:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together")
        return self


class LogConfig(Block):
    """What is logged, and how."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Lines below it are dropped."
    )
    format: Literal["auto", "console", "json"] = Field(
        default="auto", description="`auto` is for people on a terminal and JSON lines elsewhere."
    )


class EjectionConfig(Block):
    """When a replica that answers probes but fails sessions is left out for a while (Envoy's outlier detection)."""

    failures: int = Field(
        default=3, ge=1, description="So many sessions in a row that it failed (dials, deaths) eject a replica."
    )
    base_seconds: Seconds = Field(default=30.0, description="For so long times the number of ejections in a row.")
    max_seconds: Seconds = Field(
        default=300.0, description="At most for so long. The last available replica is never ejected."
    )


class AffinityConfig(Block):
    """A client that comes back is sent to the replica that knows it, while that one is available."""

    keys: Items[str] = Field(
        default=("client_id",),
        description="Where the key is looked for, in this order: `client_id` (of the first message), `query:NAME`, "
        "`header:NAME`, `cookie:NAME`. An empty list turns affinity off.",
    )
    ttl_seconds: Seconds = Field(default=300.0, description="A key is kept for so long after its last session ended.")
    max_keys: int = Field(
        default=100_000, ge=1, description="At most so many keys are kept; the longest idle go first."
    )
    cookie: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_.-]+$",
        description="Name of a cookie that the router hands out on the 101, signed, so that nobody can aim at a "
        "replica. Off without a name. Trap: in `fastvideo` it is set before a replica is picked, so it names the one "
        "that the session will prefer; should that be taken meanwhile, the next cookie names the right one.",
    )
    secret: str | None = Field(
        default=None,
        min_length=16,
        description="Signs the cookie. Trap: without it a random one is made at each start, and old cookies count "
        "for nothing.",
    )

    @field_validator("keys")
    @classmethod
    def _known_places(cls, keys: Items[str]) -> Items[str]:
        for key in keys:
            place, _, name = key.partition(":")
            if key != "client_id" and (place not in ("query", "header", "cookie") or not name):
                raise ValueError(f"{key!r} is not client_id, query:NAME, header:NAME or cookie:NAME")
        return keys


class StreamConfig(Block):
    """One path on which sessions are accepted."""

    path: str = Field(
        default="/v1/stream", pattern=r"^/[^?#\s]*$", description="The path; the replica is asked for the same."
    )
    dialect: Dialect | None = Field(default=None, description="Instead of `router.dialect` on this path.")
    balance: Balance | None = Field(default=None, description="Instead of `router.balance` on this path.")
    presets: Items[str] = Field(
        default=(),
        description="The presets that may be asked for on this path; with none listed, any. Each must be one that a "
        "replica can serve.",
    )
