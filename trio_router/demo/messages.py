"""The JSON messages that a FastVideo replica accepts: the required fields of each, and the error for a bad one."""

from __future__ import annotations

import json
from typing import Any

Message = dict[str, Any]

SESSION_INIT = "session_init_v2"
SEGMENT_PROMPT = "segment_prompt_source"
SNAPSHOT = "snapshot_state"

# Type of message -> the fields it must have. Everything else in a message is optional and may be unknown to us.
_REQUIRED: dict[str, dict[str, type]] = {
    SESSION_INIT: {},
    SEGMENT_PROMPT: {"prompt": str},
    SNAPSHOT: {},
    "seed_prompts_updated": {},
    "enhancement_updated": {"enabled": bool},
    "auto_extension_updated": {"enabled": bool},
    "loop_generation_updated": {"enabled": bool},
    "generation_paused_updated": {"paused": bool},
}


class InvalidMessage(ValueError):
    """A client's message that the protocol does not know; its text may be shown to the client."""


def parse_client_message(raw: str | bytes) -> Message:
    """A message with a known `type` and its required fields, or InvalidMessage."""
    message = _parse_object(raw)
    required = _REQUIRED.get(str(message.get("type")))
    if required is None:
        raise InvalidMessage(f"unknown message type {message.get('type')!r}")
    for field, kind in required.items():
        if not isinstance(message.get(field), kind):
            raise InvalidMessage(f"{message['type']}.{field} must be a {kind.__name__}")
    return message


def _parse_object(raw: str | bytes) -> Message:
    if isinstance(raw, bytes):
        raise InvalidMessage("a client's messages are text")
    try:
        message = json.loads(raw)
    except ValueError as error:
        raise InvalidMessage(f"not JSON: {error}") from error
    if not isinstance(message, dict):
        raise InvalidMessage("a message is a JSON object")
    return message


def error_message(code: str, message: str, *, retryable: bool) -> Message:
    """An `error` frame with the fields of FastVideo's."""
    return {"type": "error", "code": code, "message": message, "retryable": retryable}


def continuation_state(message: Message) -> Message | None:
    """The `{kind, payload}` of a session_init_v2, or None when it has none or it is malformed (FastVideo
    ignores it).
    """
    state = message.get("continuation_state")
    if isinstance(state, dict) and isinstance(state.get("kind"), str) and isinstance(state.get("payload"), dict):
        return state
    return None
