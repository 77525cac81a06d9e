"""The blocks of a configuration: one small frozen model each. The field descriptions are the reference in README.md.

A description says what the key means, then after "Trap:" what surprises people. The source of a default stands in a
comment beside it. Rules that concern two blocks belong to `models`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from trio_router.core.config.units import with_unit

T = TypeVar("T")
if TYPE_CHECKING:  # a checker lets any sequence in, a list too; what is kept is a tuple
    Items = Sequence[T]
else:
    Items = tuple[T, ...]

MIB = 1024 * 1024

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Dialect = Literal["fastvideo", "dreamverse", "opaque"]
Balance = Literal["least_sessions", "first", "round_robin", "random_two", "hash"]


def _known(kind: str, given: str, own: tuple[str, ...], name: str, info: ValidationInfo) -> str:
    """Return ``name``. A file may use only names that are known; from Python any name is taken, and looked up by the router."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]*", name):
        raise ValueError(f"a {kind} is named by letters, digits, and _ . -")
    known = [*own, *(info.context or {}).get(given, ())]
    if info.context is not None and name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
        raise ValueError(f"no {kind} is called {name!r}; {hint}")
    return name


def _known_policy(name: str, info: ValidationInfo) -> str:
    return _known("policy", "policies", get_args(Balance), name, info)


def _known_dialect(name: str, info: ValidationInfo) -> str:
    return _known("dialect", "dialects", get_args(Dialect), name, info)


#: One of the router's own policies or dialects, or the name of one that was given from Python.
BalanceName = Annotated[str, AfterValidator(_known_policy)]
DialectName = Annotated[str, AfterValidator(_known_dialect)]


class Block(BaseModel):
    """Frozen; an unknown key is an error. Keys that end in ``_seconds`` or ``_bytes`` also take a text with a unit."""

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
        description="Time limit for dialling one replica, its handshake included.",
    )
    first_reply_seconds: Seconds = Field(
        default=30.0,
        description="In `fastvideo`: a replica that has sent nothing by then loses the session to another one. "
        "Trap: set it above the time a cold replica needs for its first message.",
    )
    close_seconds: Seconds = Field(
        default=5.0,
        description="Time limit of the closing handshake, once one side has ended; then the sockets are closed.",
    )
    ping_interval_seconds: Seconds = Field(
        default=20.0, description="A connection that was silent for this long is sent a ping."
    )
    dead_peer_seconds: Seconds = Field(
        default=60.0,  # busy GPU servers answer pings late: any frame is life
        description="A connection that sent no frame of any kind for this long is dead. Trap: a replica whose event loop is "
        "blocked by its GPU answers no pings; keep this well above its longest pause.",
    )
    slow_seconds: Seconds = Field(
        default=30.0,
        description="A connection that accepted no byte for this long while data waits is dropped, which frees the GPU.",
    )
    suspect_seconds: Seconds = Field(
        default=5.0,
        description="How long a replica may send a session no frame after it was pinged because a probe failed. Then, "
        "if the replica is unhealthy, the connection is dead.",
    )

    @model_validator(mode="after")
    def _ping_before_death(self) -> TimeoutsConfig:
        if self.ping_interval_seconds >= self.dead_peer_seconds:
            raise ValueError("ping_interval_seconds must be below dead_peer_seconds, or every quiet session dies")
        return self


class LimitsConfig(Block):
    """Largest sizes and numbers, and how often a dial is tried."""

    hold_bytes: int = Field(
        default=1 * MIB,
        ge=1024,
        description="A frame of up to this size is forwarded only when it is whole; a longer one is cut through. "
        "Trap: this bounds the memory of a relayed session; before its replica has committed itself, what the client "
        "sends is held instead (`client_message_bytes`, `replay_bytes`).",
    )
    client_message_bytes: int = Field(
        default=64 * MIB,  # a 32 MiB initial image is 43 MiB in base64
        ge=1024,
        description="Largest message from a client, over all its fragments; above it: close 1009. "
        "Trap: a replica on uvicorn refuses more than 16 MiB by default.",
    )
    replica_message_bytes: int = Field(default=64 * MIB, ge=1024, description="The same for messages from a replica.")
    first_message_bytes: int = Field(
        default=16 * MIB,
        ge=1024,
        description="Largest first message from a client, while no replica has been found for it; above it: close 1009. "
        "Trap: `client_message_bytes` bounds it too, and an initial image of 12 MiB is 16 MiB in base64.",
    )
    unplaced_bytes: int = Field(
        default=256 * MIB,
        ge=1024,
        description="Limit for what all sessions without a committed replica hold together of their clients' messages. "
        "While it is reached no more is read from these clients.",
    )
    replay_bytes: int = Field(
        default=16 * MIB,
        ge=0,
        description="What a client sends before its replica has committed itself is kept for another replica, up to "
        "this size; with more the session cannot be moved to another one.",
    )
    header_bytes: int = Field(
        default=64 * 1024,
        ge=1024,
        description="Largest head of an HTTP request on the stream port; above it: 431.",
    )
    attempts: int = Field(default=3, ge=1, description="Number of different replicas that a session is tried on.")
    max_sessions: int | None = Field(
        default=None,
        ge=1,
        description="Open sessions of the whole router, waiting ones included; more get 503. Trap: a session costs two "
        "file descriptors; `ulimit -n` is the harder limit.",
    )
    connections_without_session: int = Field(
        default=1024,
        ge=1,
        description="Number of connections that are in their handshake or make an ordinary HTTP request, on each port; "
        "more are closed, with a 503 where there is no TLS.",
    )
    connections_without_session_per_address: int = Field(
        default=128,
        ge=1,
        description="The same for one client address, so that it cannot take them all. Trap: behind a reverse proxy all "
        "clients have the proxy's address; there set it as high as `connections_without_session`.",
    )


class QueueConfig(Block):
    """The wait queue: sessions that were accepted while no slot was free."""

    length: int = Field(default=100, ge=0, description="Number of sessions that may wait; 0: none.")  # sgl gateway
    timeout_seconds: Seconds = Field(
        default=300.0,  # as long as an outage takes
        description="How long a session may wait.",
    )
    outage_seconds: float = Field(
        default=10.0,  # a restart of a process, or two bad probes
        ge=0,
        allow_inf_nan=False,
        description="When no replica was usable for this long, all waiting and new sessions are refused; until then they "
        "wait for one. Trap: set it higher if a replica loads its model for a minute and no session may be refused meanwhile.",
    )
    per_client: int | None = Field(
        default=None,
        ge=1,
        description="Waiting and open sessions for one client (its bearer token if it sends one, else its address). "
        "Trap: viewers behind one NAT, or behind a reverse proxy, share an address; and a token is not verified here, so "
        "a client that invents tokens evades it: let the proxy in front check them.",
    )


class ShutdownConfig(Block):
    """What SIGTERM does."""

    drain_seconds: float = Field(
        default=600.0,  # Envoy's users
        ge=0,
        allow_inf_nan=False,
        description="How long open sessions may continue after the first signal. Trap: set your supervisor's kill "
        "timeout above drain_seconds + spread_seconds + timeouts.close_seconds.",
    )
    spread_seconds: float = Field(
        default=2.0,
        ge=0,
        allow_inf_nan=False,
        description="The closes (1012) of the remaining sessions are spread at random over this time, so that the clients "
        "do not all reconnect at the same moment.",
    )


class TlsConfig(Block):
    """TLS towards clients, and the CA for https replicas. Files are in PEM."""

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
        default="info", description="Lines below this level are dropped."
    )
    format: Literal["auto", "console", "json"] = Field(
        default="auto", description="`auto`: text for people on a terminal, JSON lines elsewhere."
    )


class EjectionConfig(Block):
    """When a replica that answers probes but fails sessions is taken out for a while (Envoy's outlier detection)."""

    failures: int = Field(default=3, ge=1, description="Consecutive failed sessions (dials, deaths) before ejection.")
    base_seconds: Seconds = Field(default=30.0, description="Duration of an ejection, times the ejections in a row.")
    max_seconds: Seconds = Field(
        default=300.0, description="Longest duration. The last available replica is never ejected."
    )


class AffinityConfig(Block):
    """A client that comes back is sent to the replica that served it last, while that one is available."""

    model_config = ConfigDict(hide_input_in_errors=True)  # `secret`

    keys: Items[str] = Field(
        default=("client_id",),
        description="Where the key is looked for, in this order: `client_id` (of the first message), `query:NAME`, "
        "`header:NAME`, `cookie:NAME`. An empty list turns affinity off.",
    )
    ttl_seconds: Seconds = Field(default=300.0, description="How long a key is kept after its last session ended.")
    max_keys: int = Field(
        default=100_000, ge=1, description="Largest number of keys; the longest idle are dropped first."
    )
    cookie: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_.-]+$",
        description="Name of a cookie that the router sets on the 101, signed, so that nobody can aim at a "
        "replica. Off without a name. Trap: in `fastvideo` it is set before a replica is picked, so it names the one "
        "that the session will prefer; if that is taken meanwhile, the next cookie names the right one.",
    )
    secret: str | None = Field(
        default=None,
        min_length=16,
        repr=False,
        description="Signs the cookie. Trap: without it a random one is made at each start, and older cookies are "
        "ignored.",
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
    dialect: DialectName | None = Field(default=None, description="Instead of `router.dialect` on this path.")
    balance: BalanceName | None = Field(default=None, description="Instead of `router.balance` on this path.")
    presets: Items[str] = Field(
        default=(),
        description="The presets that may be requested on this path; an empty list allows any. Each must be one that a "
        "replica can serve.",
    )
