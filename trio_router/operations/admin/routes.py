"""Every call of the admin API in one table: registration, roles and the OpenAPI document are made from it."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from quart import Response

from trio_router.core.config import ReplicaEndpoint
from trio_router.operations.admin.access import Caller
from trio_router.operations.admin.control import Body, Control
from trio_router.operations.admin.feed import EventFeed
from trio_router.operations.admin.problems import ApiProblem, wrong_fields
from trio_router.operations.admin.requests import ReplicaPatch, SessionClose

PREFIX: Final = "/api/v1"


@dataclass(frozen=True, slots=True)
class Call:
    """One request: what its path names, its body, and who sent it."""

    control: Control
    feed: EventFeed
    caller: Caller
    name: str = ""
    body: Any = None


@dataclass(frozen=True, slots=True)
class Route:
    """One call. Whoever changes something needs to be an operator. ``body``: the model of the request's body, if any.

    ``gives``: what the answer holds, for the document.
    """

    method: str
    path: str
    summary: str
    do: Callable[[Call], Any]
    status: int = 200
    body: type[BaseModel] | None = None
    problems: tuple[int, ...] = ()
    gives: str = "object"

    @property
    def orders(self) -> bool:
        """Whether it changes something."""
        return self.method != "GET"

    def read(self, data: bytes) -> Any:
        """The body of a request.

        Raises:
            ApiProblem: 400: no JSON; 422: which field is wrong.
        """
        if self.body is None:
            return None
        try:
            given = json.loads(data) if data.strip() else {}
        except (ValueError, RecursionError) as exc:
            raise ApiProblem(400, f"the body is not JSON: {exc}") from None
        try:
            return self.body.model_validate(given)
        except ValidationError as exc:
            raise wrong_fields(exc) from None

    async def answer(self, call: Call) -> Body | Response:
        """Do it."""
        done = self.do(call)
        found: Body | Response = await done if inspect.isawaitable(done) else done
        return found


def _events(call: Call) -> Response:
    response = Response(call.feed.listen(), content_type="text/event-stream", headers={"cache-control": "no-store"})
    response.timeout = None
    return response


ROUTES: Final = (
    Route("GET", "/replicas", "All replicas, as in /status", lambda c: c.control.replicas(), gives="replicas"),
    Route(
        "POST",
        "/replicas",
        "Add a replica; it serves after its first good probe",
        lambda c: c.control.add_replica(c.body, c.caller.name),
        status=201,
        body=ReplicaEndpoint,
        problems=(409, 422),
        gives="replica",
    ),
    Route(
        "GET",
        "/replicas/{name}",
        "One replica, as in /status",
        lambda c: c.control.replica(c.name),
        problems=(404,),
        gives="replica",
    ),
    Route(
        "PATCH",
        "/replicas/{name}",
        "Change its admin state, weight or number of sessions",
        lambda c: c.control.change_replica(c.name, c.body, c.caller.name),
        body=ReplicaPatch,
        problems=(404, 409, 422),
        gives="replica",
    ),
    Route(
        "DELETE",
        "/replicas/{name}",
        "Drain it, and remove it when it is empty",
        lambda c: c.control.remove_replica(c.name, c.caller.name),
        status=202,
        problems=(404, 409),
        gives="replica",
    ),
    Route("GET", "/sessions", "All open sessions, as in /status", lambda c: c.control.sessions(), gives="sessions"),
    Route(
        "DELETE",
        "/sessions/{name}",
        "Close a session",
        lambda c: c.control.close_session(c.name, c.body, c.caller.name),
        status=202,
        body=SessionClose,
        problems=(404, 422),
    ),
    Route(
        "POST",
        "/sessions/{name}/move",
        "Move a session to another replica; not supported yet, always 409",
        lambda c: c.control.move_session(c.name, c.caller.name),
        problems=(404, 409),
    ),
    Route("GET", "/queue", "Who waits, in order, as in /status", lambda c: c.control.queue(), gives="queue"),
    Route("GET", "/config", "The configuration as it is now, secrets hidden", lambda c: c.control.config()),
    Route(
        "POST",
        "/reload",
        "Read the configuration again and apply what changed, all or nothing",
        lambda c: c.control.reload(c.caller.name),
        problems=(409, 422),
    ),
    Route(
        "POST",
        "/drain",
        "Begin to end, as SIGTERM does",
        lambda c: c.control.drain(c.caller.name),
        status=202,
    ),
    Route("GET", "/events", "What happens, as server-sent events", _events, gives="events"),
)
