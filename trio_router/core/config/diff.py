"""What differs between two configurations, and what a running router can do about it without touching a session."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from pydantic import BaseModel

from trio_router.core.config.models import ReplicaEndpoint, RouterConfig
from trio_router.core.config.shape import BLOCKS, HIDDEN, IN_FILE, SECRETS


class Effect(StrEnum):
    """From when a changed setting holds."""

    AT_ONCE = "at_once"
    NEW_SESSIONS = "new_sessions"
    RESTART = "restart"  # a running router refuses it


#: Settings whose new value holds for whatever happens next, in open sessions too; by field, or ``block.field``.
_AT_ONCE: Final = frozenset(
    {*IN_FILE, "slow_start_seconds", "ejection", "shutdown", "log.level", "admin.tokens"},
)
#: Settings that a running router cannot change: what it listens on, what its sessions agreed on, what it remembers by.
_RESTART: Final = frozenset(
    {
        "host",
        "port",
        "status_host",
        "status_port",
        "status_on_stream_port",
        "dialect",
        "streams",
        "tls",
        "log.format",
        "affinity.cookie",
        "affinity.secret",
        "affinity.ttl_seconds",
        "affinity.max_keys",
        "limits.connections_without_session",
        "limits.connections_without_session_per_address",
        "admin.host",
        "admin.port",
        "admin.socket",
    }
)


@dataclass(frozen=True, slots=True)
class Change:
    """One setting, by its path in the file. Secrets are hidden."""

    key: str
    old: Any
    new: Any
    effect: Effect

    def __str__(self) -> str:
        when = {Effect.AT_ONCE: "at once", Effect.NEW_SESSIONS: "for new sessions", Effect.RESTART: "needs a restart"}
        return f"~ {self.key}: {_shown(self.old)} -> {_shown(self.new)} ({when[self.effect]})"


@dataclass(frozen=True, slots=True)
class ReplicaChange:
    """A replica whose keys changed. ``changes`` maps each key to (old, new)."""

    name: str
    url: str
    changes: dict[str, tuple[Any, Any]]

    def __str__(self) -> str:
        keys = ", ".join(f"{key}: {_shown(old)} -> {_shown(new)}" for key, (old, new) in self.changes.items())
        return f"~ replica {self.name} {self.url}  {keys}"


@dataclass(frozen=True, slots=True)
class ConfigDiff:
    """What a new configuration says that the old one did not. Replicas are the same if their URL is."""

    added: tuple[ReplicaEndpoint, ...] = ()
    changed: tuple[ReplicaChange, ...] = ()
    removed: tuple[ReplicaEndpoint, ...] = ()
    settings: tuple[Change, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed or self.settings)

    @property
    def restart(self) -> tuple[str, ...]:
        """The keys for which the router has to be restarted."""
        return tuple(change.key for change in self.settings if change.effect is Effect.RESTART)

    def lines(self) -> list[str]:
        """For people: a line for each difference."""
        return [
            *(f"+ replica {endpoint.label} {endpoint.url}" for endpoint in self.added),
            *(f"- replica {endpoint.label} {endpoint.url}" for endpoint in self.removed),
            *map(str, self.changed),
            *map(str, self.settings),
        ]

    def fields(self) -> dict[str, Any]:
        """For programs, as JSON can hold it."""
        return {
            "replicas": {
                "added": [{"name": endpoint.label, "url": endpoint.url} for endpoint in self.added],
                "changed": [
                    {
                        "name": one.name,
                        "url": one.url,
                        "changes": {key: list(both) for key, both in one.changes.items()},
                    }
                    for one in self.changed
                ],
                "removed": [{"name": endpoint.label, "url": endpoint.url} for endpoint in self.removed],
            },
            "settings": [
                {"key": change.key, "old": change.old, "new": change.new, "effect": str(change.effect)}
                for change in self.settings
            ],
        }


def diff_configs(old: RouterConfig, new: RouterConfig) -> ConfigDiff:
    """What ``new`` changes."""
    before = {endpoint.base: endpoint for endpoint in old.replicas}
    after = {endpoint.base: endpoint for endpoint in new.replicas}
    both = [(before[base], after[base]) for base in after if base in before]
    return ConfigDiff(
        added=tuple(endpoint for base, endpoint in after.items() if base not in before),
        changed=tuple(_replica_change(one, other) for one, other in both if one != other),
        removed=tuple(endpoint for base, endpoint in before.items() if base not in after),
        settings=tuple(_settings(old, new)),
    )


def merge_replicas(
    old: RouterConfig, new: RouterConfig, live: Sequence[ReplicaEndpoint]
) -> tuple[ReplicaEndpoint, ...]:
    """The replicas of a router that runs with ``live`` ones and whose file changed from ``old`` to ``new``.

    What the file does not touch stays as it is, also where an operator changed, added or removed it since.
    """
    before = {endpoint.base: endpoint for endpoint in old.replicas}
    after = {endpoint.base: endpoint for endpoint in new.replicas}
    running = {endpoint.base: endpoint for endpoint in live}
    merged = []
    for base, endpoint in after.items():
        if before.get(base) != endpoint:
            merged.append(endpoint)
        elif base in running:
            merged.append(running[base])
    merged += [endpoint for base, endpoint in running.items() if base not in before and base not in after]
    return tuple(merged)


def _replica_change(old: ReplicaEndpoint, new: ReplicaEndpoint) -> ReplicaChange:
    one, other = old.model_dump(mode="json"), new.model_dump(mode="json")
    return ReplicaChange(new.label, new.url, {key: (one[key], other[key]) for key in one if one[key] != other[key]})


def _settings(old: RouterConfig, new: RouterConfig) -> Iterator[Change]:
    for name in RouterConfig.model_fields:
        one, other = getattr(old, name), getattr(new, name)
        if name == "replicas" or one == other:
            continue
        if name not in BLOCKS:
            yield Change(".".join(("router", *IN_FILE.get(name, (name,)))), _plain(one), _plain(other), _effect(name))
            continue
        for key in type(one).model_fields:
            before, after = getattr(one, key), getattr(other, key)
            if before != after:
                secret = key in SECRETS
                yield Change(
                    f"router.{name}.{key}",
                    HIDDEN if secret and before is not None else _plain(before),
                    HIDDEN if secret and after is not None else _plain(after),
                    _effect(name, key),
                )


def _effect(name: str, key: str = "") -> Effect:
    paths = {name, f"{name}.{key}"}
    if paths & _RESTART:
        return Effect.RESTART
    return Effect.AT_ONCE if paths & _AT_ONCE else Effect.NEW_SESSIONS


def _plain(value: Any) -> Any:
    """As JSON can hold it, without secrets."""
    if isinstance(value, BaseModel):
        shown = value.model_dump(mode="json")
        return {key: HIDDEN if key in SECRETS and inner is not None else inner for key, inner in shown.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return "none" if value is None else str(value)
