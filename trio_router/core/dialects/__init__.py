"""What the router understands of the messages. One file a dialect; `make_dialect` knows them by name."""

from __future__ import annotations

from collections.abc import Mapping

from .base import Conversation, Dialect, FirstMessage, Message, Verdict
from .dreamverse import Dreamverse
from .fastvideo import FastVideo
from .opaque import Opaque

__all__ = ["Conversation", "Dialect", "FirstMessage", "Message", "Opaque", "Verdict", "make_dialect"]


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
