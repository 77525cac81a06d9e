"""The dialect of Dreamverse's front end (`/ws`): FastVideo's messages, but the server speaks first.

So a replica is picked at the handshake, and what it says first commits it.
"""

from __future__ import annotations

from .fastvideo import FastVideo


class Dreamverse(FastVideo):
    """See the module."""

    name = "dreamverse"
    client_speaks_first = False
