"""What the tests of `core` share: frames as another library writes them, ways to cut bytes, replicas in a state."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from websockets.frames import Frame as TheirFrame
from websockets.frames import Opcode
from websockets.streams import StreamReader

from trio_router.core.config import ReplicaEndpoint, RouterConfig
from trio_router.core.replicas.registry import ReplicaRegistry
from trio_router.core.replicas.replica import Replica, Report

#: No deadline: a busy machine is not a bug.
QUICK = settings(deadline=None, max_examples=60)

#: Both sides of every place where the length's encoding changes (RFC 6455 section 5.2).
LENGTHS = (0, 1, 125, 126, 127, 65535, 65536, 70_000)
MIB = 1024 * 1024


def wire(opcode: int, payload: bytes = b"", *, fin: bool = True, masked: bool = False) -> bytes:
    """One frame as the `websockets` library writes it."""
    return TheirFrame(Opcode(opcode), payload, fin).serialize(mask=masked)


def read_wire(data: bytes, *, masked: bool) -> TheirFrame:
    """One frame as the `websockets` library reads it, which must be all of ``data``."""
    reader = StreamReader()
    reader.feed_data(data)
    parsing: Generator[None, None, TheirFrame] = TheirFrame.parse(reader.read_exact, mask=masked)
    try:
        next(parsing)
    except StopIteration as done:
        assert not reader.buffer, "bytes behind the frame"
        found: TheirFrame = done.value
        return found
    raise AssertionError("not a whole frame")


def head(first: int, second: int, *rest: int) -> bytes:
    """The header bytes that no library would write."""
    return bytes((first, second, *rest))


_payloads = st.one_of(st.binary(max_size=20), st.sampled_from(LENGTHS).map(lambda n: b"\xa5" * n))
_controls = st.tuples(st.sampled_from((Opcode.PING, Opcode.PONG)), st.binary(max_size=125), st.just(True))


@st.composite
def frames_of_messages(draw: st.DrawFn, max_messages: int = 3) -> list[tuple[int, bytes, bool]]:
    """(opcode, payload, fin) of whole messages, in one or more fragments, with pings and pongs anywhere."""
    out: list[tuple[int, bytes, bool]] = []
    for parts in draw(st.lists(st.lists(_payloads, min_size=1, max_size=3), max_size=max_messages)):
        opcode = draw(st.sampled_from((Opcode.TEXT, Opcode.BINARY)))
        for index, part in enumerate(parts):
            out += draw(st.lists(_controls, max_size=1))
            out.append((Opcode.CONT if index else opcode, part, index == len(parts) - 1))
    return out + draw(st.lists(_controls, max_size=1))


#: Sizes of reads: tiny ones, and ones that hold several frames.
cuts = st.lists(st.one_of(st.integers(1, 16), st.integers(1, 100_000)), min_size=1, max_size=30)


def pieces(data: bytes, sizes: Iterable[int]) -> Iterator[bytes]:
    """``data`` in pieces of these sizes; what is left over comes as the last one."""
    pos = 0
    for size in sizes:
        if pos < len(data):
            yield data[pos : pos + size]
        pos += size
    if pos < len(data):
        yield data[pos:]


# Replicas


def make_registry(count: int = 2, *, healthy: bool = True, **config: Any) -> ReplicaRegistry:
    """``http://r0`` and so on. ``primary`` names the index of a primary, ``default_capacity`` is the dialect's.

    The rest goes to `RouterConfig`.
    """
    primary = config.pop("primary", None)
    each = config.pop("each", {})
    default_capacity = config.pop("default_capacity", 1)
    endpoints = tuple(ReplicaEndpoint(f"http://r{i}", primary=i == primary, **each) for i in range(count))
    registry = ReplicaRegistry(RouterConfig(replicas=endpoints, **config), default_capacity=default_capacity)
    if healthy:
        for replica in registry.replicas:
            heal(registry, replica)
    return registry


def heal(registry: ReplicaRegistry, replica: Replica, *, now: float = 0.0, report: Report | None = None) -> bool:
    """One good probe."""
    return registry.probe_succeeded(replica, latency_ms=1.0, wall=1000.0 + now, now=now, report=report)


def sicken(registry: ReplicaRegistry, replica: Replica) -> None:
    """As many bad probes as it takes."""
    for _ in range(registry.thresholds.failure):
        registry.probe_failed(replica, "refused", now=0.0)
