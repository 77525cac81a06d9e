"""The configuration as Python sees it: `ReplicaEndpoint` and `RouterConfig`, with FastVideo's router's flat field names.

Here are the top level, and the rules that concern more than one block. How a file spells it belongs to `shape`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field, field_validator, model_validator

from trio_router.core.config.admin import AdminConfig
from trio_router.core.config.blocks import (
    AffinityConfig,
    BalanceName,
    Block,
    DialectName,
    EjectionConfig,
    Items,
    LimitsConfig,
    LogConfig,
    QueueConfig,
    Seconds,
    ShutdownConfig,
    StreamConfig,
    TimeoutsConfig,
    TlsConfig,
)


def bare_url(url: str) -> str:
    """The identity of a replica: its URL without a trailing slash, in lower case up to the host."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


#: The fields that FastVideo's router takes by position, in its order.
_POSITIONAL: Final = ("url", "name", "primary", "weight")


class ReplicaEndpoint(Block):
    """One replica, as configured. ``url``, ``name``, ``primary`` and ``weight`` may be given by position.

    Raises:
        ValueError: for a URL that is not http or https, or that carries more than scheme, host and port.
    """

    url: str = Field(
        description="Base URL, http or https, without a path. Trap: the stream path comes from the client's request."
    )
    name: str | None = Field(
        default=None, min_length=1, description="For logs and status; the URL's host and port otherwise."
    )
    primary: bool = Field(
        default=False,
        description="Primaries are a tier: while one has capacity it is preferred; the others serve when none has.",
    )
    weight: float = Field(
        default=1.0,
        gt=0,
        allow_inf_nan=False,
        description="Share of the sessions relative to others in the same tier.",
    )
    max_sessions: int | Literal["auto"] = Field(
        default="auto",
        description="Sessions that it serves at once. `auto` reads it from the replica's `/readyz`; until that was read "
        "it is 1 in `fastvideo` and without a limit in `opaque`. Trap: sessions beyond the replica's own limit "
        "are rejected by it, and tried elsewhere.",
    )
    presets: Items[str] = Field(default=(), description="The presets that it can serve; an empty list means any.")

    if TYPE_CHECKING:

        def __init__(
            self,
            url: str,
            name: str | None = None,
            primary: bool = False,
            weight: float = 1.0,
            *,
            max_sessions: int | Literal["auto"] = "auto",
            presets: Sequence[str] = (),
        ) -> None: ...

    else:  # pydantic itself calls this too, and must see which fields were not given

        def __init__(self, /, *args: Any, **values: Any) -> None:
            if len(args) > len(_POSITIONAL):
                raise TypeError(
                    f"ReplicaEndpoint takes {', '.join(_POSITIONAL)} by position, not {len(args)} arguments"
                )
            named = dict(zip(_POSITIONAL, args, strict=False))
            for twice in named.keys() & values.keys():
                raise TypeError(f"ReplicaEndpoint got {twice!r} by position and by name")
            super().__init__(**named, **values)

    @field_validator("url")
    @classmethod
    def _base_url(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https"):
            raise ValueError(f"{url!r} must start with http:// or https://")
        if not parts.hostname:
            raise ValueError(f"{url!r} names no host")
        if not re.fullmatch(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+", parts.hostname):
            raise ValueError(
                f"{url!r} has a host that is no name or address (write others than ASCII names in punycode)"
            )
        if "@" in parts.netloc:
            raise ValueError("must not carry a user name or password")
        if parts.path not in ("", "/"):
            raise ValueError(f"{url!r} must be a base URL without a path")
        if parts.query or parts.fragment or url.endswith(("?", "#")):
            raise ValueError(f"{url!r} must not carry a query/fragment")
        try:
            port = parts.port
        except ValueError:
            port = 0
        if port == 0 or parts.netloc.endswith(":"):
            raise ValueError(f"{url!r} has no valid port (1 to 65535)")
        return url

    @field_validator("max_sessions", mode="before")
    @classmethod
    def _no_truth_value(cls, value: Any) -> Any:
        if isinstance(value, bool):
            raise ValueError("must be a number or auto")  # YAML's yes and on, which would count as 1
        return value

    @field_validator("max_sessions")
    @classmethod
    def _room(cls, value: int | Literal["auto"]) -> int | Literal["auto"]:
        if value != "auto" and value < 1:
            raise ValueError("must be 1 or more, or auto (take a replica out of the list to disable it)")
        return value

    @property
    def base(self) -> str:
        """The URL without a trailing slash: join a path that begins with one to it."""
        return bare_url(self.url)

    @property
    def label(self) -> str:
        """Its name in logs, metrics and status: ``name``, else host and port."""
        return self.name or urlsplit(self.url).netloc


class RouterConfig(Block):
    """The whole configuration of a router. Frozen; every field has a default; flat names are those of FastVideo's router.

    Raises:
        ValueError: (a pydantic ``ValidationError``) that lists every bad field.
    """

    model_config = ConfigDict(hide_input_in_errors=True)  # pydantic shows the whole input: `affinity.secret` is in it

    host: str = Field(default="0.0.0.0", min_length=1, description="Address that the stream port listens on.")
    port: int = Field(
        default=9000, ge=0, le=65535, description="The stream port; `/status` answers on it too. 0 picks a free one."
    )
    replicas: Items[ReplicaEndpoint] = Field(default=(), validate_default=True, description="At least one.")
    health_check_path: str = Field(
        default="/health",
        pattern=r"^/[^?#\s]*$",
        description="Requested from every replica. Unless it is set, a dialect that was given from Python may name another.",
    )
    health_check_interval_seconds: Seconds = Field(
        default=5.0, description="From one cycle of probes to the next, ±10 %."
    )
    health_check_timeout_seconds: Seconds = Field(default=2.0, description="Time limit of one probe.")
    failure_threshold: int = Field(default=3, ge=1, description="Consecutive bad probes that make a replica unhealthy.")
    recovery_threshold: int = Field(default=2, ge=1, description="Consecutive good probes that make it healthy again.")
    status_host: str | None = Field(default=None, description="Address of `status_port`; `host` if it is not set.")
    status_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="A second port for `/status` and the rest of the operators' HTTP. Trap: it stays on the stream port "
        "too, unless `status_on_stream_port` is off.",
    )
    status_on_stream_port: bool = Field(
        default=True,
        description="Whether `/status` is on the stream port too. Trap: it shows replicas' URLs, clients' addresses and "
        "client ids to everybody who can reach the port; where strangers can, turn it off and set `status_port`.",
    )
    dialect: DialectName = Field(
        default="fastvideo",
        description="What the router understands of the JSON messages: `fastvideo`, `dreamverse` (the server speaks "
        "first) or `opaque` (nothing: only WebSocket). Trap: in `fastvideo` a client that does not begin with "
        "`session_init_v2` is refused.",
    )
    balance: BalanceName = Field(
        default="least_sessions",
        description="How a replica is chosen: `least_sessions` (by share of capacity and weight), `first` (fill one "
        "before the next), `round_robin`, `random_two`, `hash` (on the affinity key). Programs can add more by name.",
    )
    slow_start_seconds: float = Field(
        default=0.0,
        ge=0,
        allow_inf_nan=False,
        description="A replica that recovers gets its capacity back gradually over this time.",
    )
    streams: Items[StreamConfig] = Field(
        default=(StreamConfig(),),
        description="The paths on which sessions are accepted.",
    )
    timeouts: TimeoutsConfig = Field(default_factory=TimeoutsConfig)
    limits: LimitsConfig = Field(default_factory=LimitsConfig)
    queue: QueueConfig = Field(default_factory=QueueConfig)
    affinity: AffinityConfig = Field(default_factory=AffinityConfig)
    ejection: EjectionConfig = Field(default_factory=EjectionConfig)
    shutdown: ShutdownConfig = Field(default_factory=ShutdownConfig)
    tls: TlsConfig = Field(default_factory=TlsConfig)
    log: LogConfig = Field(default_factory=LogConfig)
    admin: AdminConfig = Field(default_factory=AdminConfig)

    @field_validator("replicas")
    @classmethod
    def _some_and_distinct(cls, replicas: Items[ReplicaEndpoint]) -> Items[ReplicaEndpoint]:
        if not replicas:
            raise ValueError("no replicas: list at least one, each with its url")
        urls: set[str] = set()
        labels: set[str] = set()
        for replica in replicas:
            if replica.base in urls:
                raise ValueError(f"Duplicate url {replica.url!r}")
            if replica.label in labels:
                raise ValueError(f"Duplicate name {replica.label!r}")
            urls.add(replica.base)
            labels.add(replica.label)
        return replicas

    @field_validator("streams")
    @classmethod
    def _distinct_paths(cls, streams: Items[StreamConfig]) -> Items[StreamConfig]:
        if not streams:  # not min_length, which also reports a list whose items are wrong
            raise ValueError("no streams: list at least one, each with its path")
        paths = [stream.path for stream in streams]
        for path in paths:
            if paths.count(path) > 1:
                raise ValueError(f"Duplicate path {path!r}")
        return streams

    @model_validator(mode="after")
    def _presets_are_served(self) -> RouterConfig:
        if any(not replica.presets for replica in self.replicas):
            return self  # that one serves any
        served = {preset for replica in self.replicas for preset in replica.presets}
        for index, stream in enumerate(self.streams):
            for preset in stream.presets:
                if preset not in served:
                    raise ValueError(f"streams[{index}].presets: no replica lists {preset!r}")
        return self

    @model_validator(mode="after")
    def _no_path_twice(self) -> RouterConfig:
        if self.port and self.port == self.status_port and self.status_host in (None, self.host):
            raise ValueError("status_port must differ from port (leave it out to serve both on one)")
        if self.admin.port and self.admin.port in (self.port, self.status_port):
            raise ValueError("admin.port must differ from port and status_port")
        for stream in self.streams:
            if stream.path in OWN_PATHS:
                raise ValueError(f"streams: {stream.path!r} is a page of the router's own")
        return self


#: The router's own pages; `web` serves them, and no stream may hide one.
OWN_PATHS = ("/status", "/health", "/healthz", "/readyz", "/router/replicas/sessions")
