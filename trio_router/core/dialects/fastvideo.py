"""FastVideo's streaming protocol, as far as a router has to understand it: the first message, refusals, errors, the end."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final

from trio_router.core.dialects.base import Conversation, FirstMessage, Message, ReplyVerdict
from trio_router.core.dialects.opaque import Opaque
from trio_router.core.text import printable
from trio_router.core.websocket.frames import TEXT, Frame
from trio_router.core.websocket.scanner import WATCH_TEXT

#: Errors before the commit point that are not the replica's answer to what the client said, and what they mean.
REFUSALS: Final = {
    "session_rejected": ReplyVerdict.REFUSED,
    "gpu_unavailable": ReplyVerdict.REFUSED,
    "worker_failed": ReplyVerdict.FAILED,
    "upstream_timeout": ReplyVerdict.FAILED,
    "internal_error": ReplyVerdict.FAILED,
}
FIRST_MESSAGE: Final = "session_init_v2"
#: 100,000 values take some 20 ms to parse; a session's first message has a few dozen.
MAX_VALUES: Final = 100_000
_COMPLETE: Final = b"ltx2_stream_complete"
_CONTROLS: Final = re.compile("[\x00-\x1f\x7f-\x9f]")  # C0, DEL and C1


class FastVideo(Opaque):
    """The protocol of `/v1/stream`. What it does not know passes unread."""

    __slots__ = ()

    name = "fastvideo"
    client_speaks_first = True
    replica_must_reply = True
    passes_refusals = False
    replica_watch = WATCH_TEXT
    default_capacity: int | None = 1

    def open(self) -> Conversation:
        """One for each session: it remembers whether the stream is complete."""
        return FastVideoConversation()


class FastVideoConversation(FastVideo):
    """One session."""

    __slots__ = ("_complete",)

    def __init__(self) -> None:
        self._complete = False

    def parse_first_message(self, message: bytes, *, text: bool) -> FirstMessage:
        """`session_init_v2`, or what a replica would have answered to anything else (1003, invalid_message)."""
        fields = parse_object(message) if text and _is_sane(message) else None
        if fields is None:
            return FirstMessage(problem=f"first message must be a JSON object of type {FIRST_MESSAGE!r}")
        if fields.get("type") != FIRST_MESSAGE:
            kind = short_text(fields.get("type"))  # short: it goes into the log and to the client
            return FirstMessage(problem=f"first message must be of type {FIRST_MESSAGE!r}, not {kind!r}")
        client_id, preset = short_text(fields.get("client_id")), short_text(fields.get("preset"))
        if client_id is not None and _CONTROLS.search(client_id):
            client_id = None  # no name; it becomes a key that operators read
        # Escaped, not left out: no preset at all would be let through where only some may be asked for.
        return FirstMessage(client_id=client_id, preset=preset and printable(preset))

    def classify_reply(self, frame: Frame, payload: bytes) -> ReplyVerdict:
        """A position in the replica's own queue is no commitment; a refusal is not shown to the client."""
        if frame.opcode != TEXT or not frame.fin:
            return super().classify_reply(frame, payload)
        fields = parse_object(payload) or {}
        if fields.get("type") == "queue_status":
            return ReplyVerdict.PASS
        if fields.get("type") == "error":
            return REFUSALS.get(short_text(fields.get("code")) or "", ReplyVerdict.COMMIT)
        return ReplyVerdict.COMMIT

    def replica_says(self, frame: Frame, payload: Callable[[], bytes]) -> ReplyVerdict:
        """Look for `ltx2_stream_complete`: after it the server drops TCP without a close frame."""
        if frame.fin and not self._complete:
            text = payload()
            # The search spares parsing all other messages; a prompt may contain the word, so then parse.
            self._complete = _COMPLETE in text and (parse_object(text) or {}).get("type") == _COMPLETE.decode()
        return ReplyVerdict.PASS

    @property
    def may_end(self) -> bool:
        """After `ltx2_stream_complete`."""
        return self._complete

    def error(self, code: str, message: str, *, retryable: bool, **extra: Any) -> Message | None:
        """`{"type":"error", code, message, retryable}` and whatever else is known."""
        fields = {"type": "error", "code": code, "message": message, "retryable": retryable, **extra}
        return Message(TEXT, json.dumps(fields).encode())

    def queue_status(self, position: int, depth: int, estimate_seconds: float | None) -> Message | None:
        """`{"type":"queue_status", position, queue_depth}` and, when it can be guessed, `estimated_wait_seconds`."""
        fields: dict[str, Any] = {"type": "queue_status", "position": position, "queue_depth": depth}
        if estimate_seconds is not None:
            fields["estimated_wait_seconds"] = round(estimate_seconds, 1)
        return Message(TEXT, json.dumps(fields).encode())


def _is_sane(message: bytes) -> bool:
    """Few enough values to be parsed in a moment. An image in base64 is one value, however long it is."""
    return sum(map(message.count, (b",", b"[", b"{"))) <= MAX_VALUES


def parse_object(message: bytes) -> dict[str, Any] | None:
    """A JSON object; None for anything else."""
    try:
        value = json.loads(message)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def short_text(value: object) -> str | None:
    """A short text; JSON can spell half a surrogate pair, which no encoding can."""
    if not isinstance(value, str) or not 0 < len(value) <= 256:
        return None
    return value if value.encode(errors="ignore").decode() == value else None
