"""What the admin API can do to a running router. Every change is told to the events, with the name of who ordered it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import trio
from pydantic import ValidationError

from trio_router.core.config import ReplicaEndpoint, RouterConfig, file_shape
from trio_router.core.config.diff import ConfigDiff
from trio_router.core.errors import ConfigError, ReloadRefused
from trio_router.core.events import AdminChange, Events
from trio_router.core.replicas.registry import ReplicaRegistry
from trio_router.core.replicas.replica import AdminState, Replica
from trio_router.core.session.outcome import Cause, CloseInfo
from trio_router.core.session.table import OpenSession, SessionTable
from trio_router.operations.admin.problems import ApiProblem, wrong_field, wrong_fields
from trio_router.operations.admin.requests import ReplicaPatch, SessionClose
from trio_router.operations.status import replica_row, session_row

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Orders:
    """What only the router itself can do."""

    config: Callable[[], RouterConfig]
    queue: Callable[[float], list[Body]]
    reload: Callable[[str], Awaitable[ConfigDiff]]
    drain: Callable[[str], None]
    #: Why a replica cannot be served with this configuration's files, or None.
    unusable: Callable[[ReplicaEndpoint], str | None]


class Control:
    """Reads and changes one router. All methods but `reload` decide and change in one go."""

    def __init__(self, registry: ReplicaRegistry, sessions: SessionTable, events: Events, orders: Orders) -> None:
        self._registry = registry
        self._sessions = sessions
        self._events = events
        self._orders = orders

    # Looking

    def replicas(self) -> Body:
        """As in `/status`."""
        now = trio.current_time()
        return {"replicas": [replica_row(replica, now) for replica in self._registry.replicas]}

    def replica(self, name: str) -> Body:
        """One of them.

        Raises:
            ApiProblem: 404.
        """
        return self._row(self._find(name))

    def sessions(self) -> Body:
        """As in `/status`."""
        now = trio.current_time()
        return {"sessions": [session_row(session, now) for session in self._sessions]}

    def queue(self) -> Body:
        """As in `/status`."""
        return {"queue": self._orders.queue(trio.current_time())}

    def config(self) -> Body:
        """The configuration that the router goes by now, as it would stand in a file; secrets are hidden."""
        return file_shape(self._orders.config())

    # Replicas

    def add_replica(self, endpoint: ReplicaEndpoint, by: str) -> Body:
        """Add it; it serves after its first good probe.

        Raises:
            ApiProblem: 409: there is one of this URL or name; 422: it cannot be used.
        """
        for replica in self._registry.replicas:
            if replica.removing:
                continue
            if replica.endpoint.base == endpoint.base:
                raise wrong_field("url", f"replica {replica.label!r} has this URL", status=409)
            if replica.label == endpoint.label:
                raise wrong_field("name", f"replica {replica.url} has the name {endpoint.label!r}", status=409)
        if (why := self._orders.unusable(endpoint)) is not None:
            raise wrong_field("url", why)
        self._apply([*self._endpoints(), endpoint])
        self._tell(by, "replica_added", endpoint.label, url=endpoint.url)
        return self._row(self._find(endpoint.label))

    def change_replica(self, name: str, patch: ReplicaPatch, by: str) -> Body:
        """Change what ``patch`` names.

        Raises:
            ApiProblem: 404; 409 for one that is being removed.
        """
        replica = self._find(name)
        if replica.removing:
            raise ApiProblem(409, f"replica {name!r} is being removed; add it again to keep it")
        settings = patch.model_dump(include=patch.model_fields_set & {"weight", "max_sessions"})
        if settings:
            changed = replica.endpoint.model_copy(update=settings)
            self._apply([changed if one == replica.endpoint else one for one in self._endpoints()])
        if "admin" in patch.model_fields_set:
            self._registry.set_admin_state(replica, AdminState(patch.admin), now=trio.current_time())
        self._tell(by, "replica_changed", replica.label, **patch.model_dump(exclude_unset=True))
        return self._row(replica)

    def remove_replica(self, name: str, by: str) -> Body:
        """Give it no new sessions; it is gone when the last of its sessions has ended.

        Raises:
            ApiProblem: 404; 409 for the last one.
        """
        replica = self._find(name)
        left = [endpoint for endpoint in self._endpoints() if endpoint != replica.endpoint]
        if not left:
            raise ApiProblem(409, f"{name!r} is the last replica: add another one first, or drain it")
        if not replica.removing:
            self._apply(left)
            self._tell(by, "replica_removed", replica.label, url=replica.url, open_sessions=replica.held)
        return self._row(replica)

    # Sessions

    def close_session(self, session_id: str, close: SessionClose, by: str) -> Body:
        """Close it with this code and reason.

        Raises:
            ApiProblem: 404.
        """
        session = self._session(session_id)
        session.stop(Cause.OPERATOR, CloseInfo(close.code, close.reason))
        self._tell(by, "session_closed", session.id, code=close.code, reason=close.reason)
        return {"id": session.id, "code": close.code, "reason": close.reason}

    def move_session(self, session_id: str, by: str) -> Body:
        """Not possible yet.

        Raises:
            ApiProblem: 404; 409.
        """
        self._session(session_id)
        raise ApiProblem(409, "moving sessions is not supported yet")

    # The router

    async def reload(self, by: str) -> Body:
        """Read the configuration again. Returns what it changed.

        Raises:
            ApiProblem: 422 with every mistake in the file, 409 for changes that need a restart; nothing has changed then.
        """
        try:
            diff = await self._orders.reload(by)
        except ConfigError as exc:
            problems = [problem.line(exc.source) for problem in exc.found]
            raise ApiProblem(
                422, f"the configuration has {exc.count}; nothing was changed", problems=problems
            ) from None
        except ReloadRefused as exc:
            raise ApiProblem(409, str(exc), keys=list(exc.keys)) from None
        return {"changed": bool(diff), **diff.fields()}

    def drain(self, by: str) -> Body:
        """Begin to end, as SIGTERM does."""
        self._orders.drain(by)
        return {"draining": True, "open_sessions": len(self._sessions.open)}

    # Both

    def _find(self, name: str) -> Replica:
        for replica in self._registry.replicas:
            if replica.label == name:
                return replica
        raise ApiProblem(404, f"no replica is called {name!r}")

    def _session(self, session_id: str) -> OpenSession:
        session = self._sessions.open.get(session_id)
        if session is None:
            raise ApiProblem(404, f"no open session has the id {session_id!r}")
        return session

    def _row(self, replica: Replica) -> Body:
        return dict(replica_row(replica, trio.current_time()))

    def _endpoints(self) -> list[ReplicaEndpoint]:
        return [replica.endpoint for replica in self._registry.replicas if not replica.removing]

    def _apply(self, endpoints: Sequence[ReplicaEndpoint]) -> None:
        try:
            self._registry.apply(endpoints, now=trio.current_time())
        except ValidationError as exc:  # with the rest of the configuration it does not fit: presets, say
            problem = wrong_fields(exc)
            raise ApiProblem(409, problem.detail, errors=problem.errors) from None

    def _tell(self, by: str, action: str, target: str, **details: Any) -> None:
        self._events.admin_changed(AdminChange(by, action, target, details))
