"""What the router understands of the messages. One file a dialect; `make_dialect` knows them by name.

How a new one is written stands in `base`.
"""

from __future__ import annotations

from collections.abc import Mapping

from trio_router.core.dialects.base import Conversation, Dialect, FirstMessage, Message, ReplyVerdict
from trio_router.core.dialects.dreamverse import Dreamverse
from trio_router.core.dialects.fastvideo import FastVideo
from trio_router.core.dialects.opaque import Opaque
from trio_router.core.dialects.shared import shared_capacity, shared_probe_path

__all__ = [
    "Conversation",
    "Dialect",
    "FirstMessage",
    "Message",
    "Opaque",
    "ReplyVerdict",
    "make_dialect",
    "shared_capacity",
    "shared_probe_path",
]


def make_dialect(name: str, given: Mapping[str, Dialect] | None = None) -> Dialect:
    """The dialect by the name that the configuration uses; ``given`` from Python come before the router's own.

    Raises:
        ValueError: nobody knows the name.
    """
    own: dict[str, Dialect] = {"fastvideo": FastVideo(), "dreamverse": Dreamverse(), "opaque": Opaque()}
    known = {**own, **(given or {})}
    if name not in known:
        raise ValueError(f"no dialect is called {name!r}; known are {', '.join(known)}")
    return known[name]
