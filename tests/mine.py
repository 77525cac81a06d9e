"""A dialect as an embedder writes one. It uses every part of the interface, and imports nothing but the package's front.

Texts of one word. The client speaks first. ``start`` proves nothing yet, ``again`` commits, ``busy`` is final only with the
close that follows it, and the replica never closes after ``done``. Errors and places in the queue are binary.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from trio_router import BINARY, TEXT, CloseInfo, Conversation, FirstMessage, Frame, Message, Opaque, Verdict

VERDICTS = {
    b"start": Verdict.HOLD,
    b"busy": Verdict.HOLD,
    b"queued": Verdict.PASS,
    b"full": Verdict.REFUSED,
    b"broken": Verdict.FAILED,
    b"done": Verdict.FINISHED,
}


class Mine(Opaque):
    """Facts and patience."""

    name = "mine"
    client_speaks_first = True
    replica_must_reply = True
    passes_refusals = False
    client_watch = frozenset({TEXT})
    replica_watch = frozenset({TEXT})
    refusing_statuses = frozenset({409, 429, 503})
    default_capacity = 2
    first_reply_seconds = 90.0
    dead_peer_seconds = 300.0
    probe_path = "/ready_to_work"
    linger_seconds = 2.0

    def open(self) -> Conversation:
        """One for each session."""
        return MyConversation()


class MyConversation(Mine):
    """One session."""

    def __init__(self) -> None:
        self.busy = False
        self.left = False

    def parse_first_message(self, message: bytes, *, text: bool) -> FirstMessage:
        """``init NAME PRESET``, as binary."""
        words = message.decode(errors="replace").split()
        if text or len(words) != 3 or words[0] != "init":
            return FirstMessage(problem="first message must be binary: init NAME PRESET")
        return FirstMessage(client_id=words[1], preset=words[2])

    def classify_reply(self, frame: Frame, payload: bytes) -> Verdict:
        """By its word; media commits."""
        if frame.opcode != TEXT:
            return super().classify_reply(frame, payload)
        self.busy = payload == b"busy"
        return VERDICTS.get(payload, Verdict.COMMIT)

    def classify_close(self, close: CloseInfo) -> Verdict:
        """1008 is a refusal behind ``busy``, and this client's own fault behind anything else."""
        return Verdict.REFUSED if self.busy and close.code == 1008 else super().classify_close(close)

    def client_says(self, frame: Frame, payload: Callable[[], bytes]) -> None:
        """``bye``."""
        self.left = self.left or payload() == b"bye"

    def replica_says(self, frame: Frame, payload: Callable[[], bytes]) -> Verdict:
        """``done``."""
        return Verdict.FINISHED if payload() == b"done" else Verdict.PASS

    @property
    def may_end(self) -> bool:
        """After ``bye``."""
        return self.left

    def error(self, code: str, message: str, *, retryable: bool, **extra: Any) -> Message | None:
        """Binary."""
        return Message(BINARY, json.dumps(["error", code, retryable]).encode())

    def queue_status(self, position: int, depth: int, estimate_seconds: float | None) -> Message | None:
        """Binary."""
        return Message(BINARY, json.dumps(["place", position, depth]).encode())
