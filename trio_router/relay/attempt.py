"""What the relay and whoever finds replicas for it say to each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from trio_router.core.dialects import FirstMessage
from trio_router.core.http.head import Headers
from trio_router.core.replicas.registry import Slot
from trio_router.core.session.outcome import End
from trio_router.net.connection import Connection

_NO_HEADERS: Final[Headers] = Headers()


@dataclass(eq=False, slots=True)
class Attempt:
    """One try on one replica: its slot, and its connection with the handshake done.

    ``subprotocol`` and ``headers`` are what the replica answered. Two attempts of a session can be alive at once.
    """

    slot: Slot
    connection: Connection
    subprotocol: str | None = None
    headers: Headers = field(default_factory=list)
    spoke_at: float = (
        0.0  # Trio's time: when its connection stood, or when it last said something that does not commit it
    )

    def forget_answer(self) -> None:
        """The replica's headers are not needed any more: an idle session should not keep them."""
        self.headers = _NO_HEADERS

    def note_reply(self, now: float) -> None:
        """It said something: its time for the first reply begins anew."""
        self.spoke_at = now


class Progress(Protocol):
    """Told by a connector how the search goes."""

    def seeking(self) -> None:
        """A slot is wanted."""
        ...

    def dialling(self) -> None:
        """A slot was given; its replica is dialled."""
        ...

    def position(self, position: int, depth: int, estimate: float | None) -> None:
        """The session waits at this position (1 is next) of so many; seconds, if they can be estimated."""
        ...


class Connector(Protocol):
    """Where a relay gets replicas from. It owns the slots; closing a connection that it gave away is the relay's business."""

    def accept(self, message: FirstMessage) -> End | None:
        """The client's first message says where it wants to go. An End: not with us."""
        ...

    async def connect(self, progress: Progress) -> Attempt | End:
        """The next attempt; or why there is none. May be cancelled."""
        ...

    def attempt_failed(self, attempt: Attempt, end: End) -> None:
        """It was lost before its replica had committed itself: its slot is given back."""
        ...

    def committed(self, attempt: Attempt) -> None:
        """Its replica has committed itself."""
        ...

    def is_unhealthy(self, attempt: Attempt) -> bool:
        """Whether its replica's probes fail."""
        ...

    def when_hopeless(self, callback: Callable[[End], Any]) -> Callable[[], None]:
        """Call back, once, when a session like this would be told that there is no replica. Returns what forgets it."""
        ...
