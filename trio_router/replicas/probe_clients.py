"""The HTTP clients of all probes of one loop: one for http replicas, one for https ones, made when first needed."""

from __future__ import annotations

import contextlib
from types import TracebackType

from trio_router.core.config import RouterConfig
from trio_router.net.tls import replica_tls
from trio_router.replicas.probe_client import ProbeClient


class Clients:
    """An async context: leaving it closes all connections of the probes.

    Loading the system's certificates takes 20 ms and 3 MiB, so it is done only if a replica needs them, and only once.
    """

    def __init__(self) -> None:
        self._stack = contextlib.AsyncExitStack()
        self._made: dict[bool, ProbeClient] = {}

    async def __aenter__(self) -> Clients:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, exc, traceback)

    async def get(self, config: RouterConfig, *, secure: bool) -> ProbeClient:
        """The client for replicas with that scheme.

        Raises:
            StartError: the CA file for https replicas cannot be used.
        """
        if secure not in self._made:
            client = ProbeClient(replica_tls(config) if secure else None)
            self._made[secure] = client  # before anything is awaited: the next one that asks gets the same
            await self._stack.enter_async_context(client)
        return self._made[secure]
