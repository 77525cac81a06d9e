"""What the replica and the load generator agree on; both import it, and nothing else of each other.

The client's first message is a `session_init_v2` that carries a `bench` object: the mode of the replica for
this session. The replica answers with `gpu_assigned`, so that a client knows that both connections are up; asked for
FastVideo's greeting, with `queue_status` before it and `ltx2_stream_start` after it. A later
data message ends a push or a paced session: the replica finishes its frame, says in `bench_done` how much
it has sent, and closes with 1000. So every byte can be accounted for, whatever the router in between does.
"""

from __future__ import annotations

import json
import random
import struct
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any

PATH = "/v1/stream"
HOST = "127.0.0.1"
ECHO_BYTES = 128
TEXT, BINARY = 1, 2  # opcodes (RFC 6455, section 5.2)
KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
READY = b'{"type":"gpu_assigned","gpu_id":0,"session_timeout":600}'
QUEUED = b'{"type":"queue_status","position":0,"queue_depth":0}'
START = b'{"type":"ltx2_stream_start","width":1280,"height":704,"fps":24,"num_frames":121}'
STOP = b'{"type":"bench_stop"}'
CHUNK_STAMP = struct.Struct("<dI")  # monotonic seconds when it was sent, number of the tick

_ECHO = b'{"type":"bench_echo","session":%06d,"number":%012d,"pad":"%s"}'
_ECHO_PAD = b"." * (ECHO_BYTES - len(_ECHO % (0, 0, b"")))


@dataclass(frozen=True)
class Pace:
    """Video as a replica sends it: ticks at `fps`, bursts of chunks, JSON at every other tick.

    With these numbers a session gets 12 chunks of 64 KiB a second (6.3 Mbit/s, between what 720p and 1080p
    need) in three bursts, and 24 moments a second at which something arrives. 200 sessions are 150 MiB/s
    and 7,600 messages a second, which leaves two cores shared by replica, router and load generator some
    air.
    """

    fps: int = 24
    segment_ticks: int = 24
    burst_every_ticks: int = 8
    burst_chunks: int = 4
    chunk_bytes: int = 64 * KIB


@dataclass(frozen=True)
class Job:
    """One measurement by the load generator. Times are in seconds; `pids` are watched, never signalled."""

    kind: str
    port: int
    sessions: int
    warmup_s: float
    seconds: float
    pids: dict[str, list[int]]
    options: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Job:
        return cls(**json.loads(text))


def init_message(bench: dict[str, Any], client_id: str = "bench") -> bytes:
    """The first message of a session, as compact JSON."""
    message = {"type": "session_init_v2", "client_id": client_id, "bench": bench}
    return json.dumps(message, separators=(",", ":")).encode()


def echo_message(session: int, number: int) -> bytes:
    """JSON text of exactly `ECHO_BYTES` that differs from session to session and from message to message."""
    return _ECHO % (session, number, _ECHO_PAD)


@cache
def payload(size: int) -> bytes:
    """`size` bytes that no compressor makes smaller, the same in every process."""
    return random.Random(size).randbytes(size)


def server_frame(data: bytes, opcode: int = BINARY) -> bytes:
    """One unmasked, unfragmented frame (RFC 6455, section 5.2)."""
    if len(data) < 126:
        head = struct.pack("!BB", 0x80 | opcode, len(data))
    elif len(data) < 65536:
        head = struct.pack("!BBH", 0x80 | opcode, 126, len(data))
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 127, len(data))
    return head + data


@cache
def segment() -> tuple[tuple[int, bytes], ...]:
    """Opcode and payload of each message of one segment, a second of `Pace`, in the order of FastVideo's server."""
    pace = Pace()
    chunks = pace.segment_ticks // pace.burst_every_ticks * pace.burst_chunks
    head: list[dict[str, Any]] = [{"type": "ltx2_segment_start", "segment_idx": 0, "prompt": "bench", "total_steps": 8}]
    head += [{"type": "step_complete", "segment_idx": 0, "step": step} for step in range(8)]
    head += [{"type": "media_init", "segment_idx": 0, "mime": "video/mp4", "stream_id": "s0"}]
    tail: list[dict[str, Any]] = [
        {"type": "media_segment_complete", "segment_idx": 0, "stream_id": "s0", "chunks": chunks},
        {"type": "ltx2_segment_complete", "segment_idx": 0, "generation_time_ms": 900.0},
    ]
    media = [(BINARY, payload(pace.chunk_bytes))] * chunks
    return (*_texts(head), *media, *_texts(tail))


def _texts(messages: list[dict[str, Any]]) -> list[tuple[int, bytes]]:
    return [(TEXT, json.dumps(message).encode()) for message in messages]
