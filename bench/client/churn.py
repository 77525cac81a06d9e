"""Opening and closing: connect, init, the replica's answer, close handshake, end of the connection; again."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from bench import wire
from bench.client.meter import Errors, Times, Window
from bench.client.session import Session, open_one


async def run_churn(job: wire.Job) -> dict[str, Any]:
    """`sessions` workers do that in a loop; the time is that from connect to the replica's answer."""
    errors, opening = Errors(), Times()
    bench = {"mode": "echo", "greeting": job.options.get("greeting", False)}
    closed = 0
    live = True

    async def worker() -> None:
        nonlocal closed
        while live and errors.count < 10:
            began = time.perf_counter()
            session = Session(bench, errors)
            try:
                await open_one(session, job.port, tls=job.options["tls"], buffer_bytes=2 * wire.KIB)
            except Exception as error:  # counted, and the worker goes on: ten of them end it
                errors.add(f"cannot open: {error!r}")
                continue
            opening.record(time.perf_counter() - began)
            await session.end()
            closed += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(job.sessions):
            group.create_task(worker())
        await asyncio.sleep(job.warmup_s)
        opening.clear()
        window = Window(job.pids, lambda: {"messages": closed})
        await asyncio.sleep(job.seconds)
        result = window.close()
        result["opening_us"] = opening.summary()
        live = False
    return {**result, "errors": errors}
