"""What the router understands of the JSON messages. One file a dialect; `make_dialect` knows them by name."""

from __future__ import annotations

from trio_router.core.config.blocks import Dialect as DialectName

from .base import ClientHello, Dialect, Verdict
from .dreamverse import Dreamverse
from .fastvideo import FastVideo
from .opaque import Opaque

__all__ = ["ClientHello", "Dialect", "Verdict", "make_dialect"]


def make_dialect(name: DialectName) -> Dialect:
    """The dialect by the name that the configuration uses. Dialects keep no state; one serves all sessions."""
    dialects: dict[DialectName, Dialect] = {"fastvideo": FastVideo(), "dreamverse": Dreamverse(), "opaque": Opaque()}
    return dialects[name]
