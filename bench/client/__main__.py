"""`python -m bench.client JOB`: run one job given as JSON, print its result as JSON."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import sys
from typing import TYPE_CHECKING, Any

import uvloop

from bench import proc, wire
from bench.client.churn import run_churn
from bench.client.echo import run_echo, run_ladder
from bench.client.paced import run_paced, run_slow
from bench.client.push import run_push
from bench.client.video import run_video

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bench.client.meter import Errors

KINDS: dict[str, Callable[[wire.Job], Awaitable[dict[str, Any]]]] = {
    "echo": run_echo,
    "ladder": run_ladder,
    "push": run_push,
    "video": run_video,
    "paced": run_paced,
    "slow": run_slow,
    "churn": run_churn,
}


async def run(job: wire.Job) -> dict[str, Any]:
    """The result of the job; a failure is a result too."""
    try:
        async with asyncio.timeout(job.options.get("deadline_s", 120.0)):
            result = await KINDS[job.kind](job)
    except (Exception, TimeoutError) as error:
        return {"failed": _words(error)}
    errors: Errors = result.pop("errors")
    if errors.count:
        result["failed"] = f"{errors.count} errors: " + "; ".join(errors.first)
    return result


def _words(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return repr(error)


def main() -> None:
    proc.raise_file_limit()
    logging.disable(logging.WARNING)
    gc.disable()  # its pauses would be counted as latency; one process lives for one measurement only
    result = uvloop.run(run(wire.Job.from_json(sys.argv[1])))
    sys.stdout.write(json.dumps(result))


if __name__ == "__main__":
    main()
