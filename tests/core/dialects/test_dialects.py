"""What each dialect understands of the messages, and what it adds."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.samples import QUICK
from trio_router.core.config.blocks import Dialect as DialectName
from trio_router.core.dialects import Conversation, FirstMessage, Message, Opaque, ReplyVerdict, make_dialect
from trio_router.core.session.outcome import CloseInfo
from trio_router.core.websocket.frames import BINARY, CLOSE, PING, PONG, TEXT, Frame
from trio_router.core.websocket.scanner import WATCH_NOTHING, WATCH_TEXT

NAMES: tuple[DialectName, ...] = get_args(DialectName)
FASTVIDEO = make_dialect("fastvideo").open()
OPAQUE = make_dialect("opaque").open()


def message(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def opening(dialect: DialectName, payload: bytes, opcode: int = TEXT, *, fin: bool = True) -> ReplyVerdict:
    return make_dialect(dialect).open().classify_reply(Frame(opcode, fin, 0, len(payload), 0), payload)


@pytest.mark.parametrize("name", NAMES)
def test_a_dialect_is_made_by_its_name(name: DialectName) -> None:
    assert make_dialect(name).name == name


def test_what_tells_the_dialects_apart() -> None:
    rows = {
        d.name: (d.client_speaks_first, d.replica_must_reply, d.passes_refusals, d.client_watch, d.replica_watch)
        for d in (make_dialect(name) for name in NAMES)
    }
    assert rows == {
        "fastvideo": (True, True, False, frozenset(), WATCH_TEXT),
        "dreamverse": (False, True, False, frozenset({TEXT}), WATCH_NOTHING),
        "opaque": (False, False, True, frozenset(), WATCH_NOTHING),
    }


def test_hello_reads_who_the_client_is_and_what_it_wants() -> None:
    hello = FASTVIDEO.parse_first_message(
        message(type="session_init_v2", client_id="c1", preset="wan", more=1), text=True
    )
    assert hello == FirstMessage(client_id="c1", preset="wan")
    assert FASTVIDEO.parse_first_message(message(type="session_init_v2"), text=True) == FirstMessage()


@pytest.mark.parametrize("value", [None, 5, "", [], {}, True, "x" * 257, "\ud800"])
def test_a_client_id_that_is_no_short_text_is_none(value: object) -> None:
    hello = FASTVIDEO.parse_first_message(message(type="session_init_v2", client_id=value, preset=value), text=True)
    assert hello == FirstMessage()


@pytest.mark.parametrize("value", ["x", "x" * 256, "ünï 🎬"])
def test_a_client_id_that_is_a_short_text_is_taken(value: str) -> None:
    assert FASTVIDEO.parse_first_message(message(type="session_init_v2", client_id=value), text=True).client_id == value


@pytest.mark.parametrize("mark", ["\x00", "\n", "\x1b", "\x7f", "\x80", "\x9b"])
def test_control_characters_make_no_client_id_and_no_preset_that_is_known(mark: str) -> None:
    hello = FASTVIDEO.parse_first_message(
        message(type="session_init_v2", client_id=f"c{mark}", preset=f"wan{mark}"), text=True
    )
    assert hello.client_id is None
    assert hello.preset is not None, "it would be let through where only some presets may be asked for"
    assert hello.preset.isprintable()
    assert hello.preset != "wan"


@pytest.mark.parametrize(
    ("first", "words"),
    [
        (b"hello", "must be a JSON object"),
        (b"[]", "must be a JSON object"),
        (b"\xff", "must be a JSON object"),
        (b"[" * 100_000, "must be a JSON object"),
        (b"{}", "not None"),
        (message(type="segment_prompt_source"), "not 'segment_prompt_source'"),
        (message(type=["session_init_v2"]), "not None"),
        (message(type="x" * 1_000_000), "not None"),
    ],
)
def test_another_first_message_is_refused_in_few_words(first: bytes, words: str) -> None:
    problem = FASTVIDEO.parse_first_message(first, text=True).problem
    assert problem is not None
    assert "session_init_v2" in problem
    assert words in problem
    assert len(problem) < 400


def test_a_binary_first_message_is_refused() -> None:
    assert FASTVIDEO.parse_first_message(message(type="session_init_v2"), text=False).problem


@pytest.mark.parametrize(
    ("payload", "verdict"),
    [
        (message(type="queue_status", position=0, queue_depth=0), ReplyVerdict.PASS),
        (message(type="gpu_assigned", gpu_id=0), ReplyVerdict.COMMIT),
        (message(type="error", code="session_rejected"), ReplyVerdict.REFUSED),
        (message(type="error", code="gpu_unavailable"), ReplyVerdict.REFUSED),
        (message(type="error", code="worker_failed"), ReplyVerdict.FAILED),
        (message(type="error", code="upstream_timeout"), ReplyVerdict.FAILED),
        (message(type="error", code="internal_error"), ReplyVerdict.FAILED),
        (message(type="error", code="invalid_message"), ReplyVerdict.COMMIT),
        (message(type="error", code="preset_mismatch"), ReplyVerdict.COMMIT),
        (message(type="error", code=["session_rejected"]), ReplyVerdict.COMMIT),
        (message(type="error"), ReplyVerdict.COMMIT),
        (message(type={}), ReplyVerdict.COMMIT),
        (b"anything", ReplyVerdict.COMMIT),
        (b"[1]", ReplyVerdict.COMMIT),
    ],
)
@pytest.mark.parametrize("dialect", ["fastvideo", "dreamverse"])
def test_what_a_replicas_first_messages_mean(dialect: DialectName, payload: bytes, verdict: ReplyVerdict) -> None:
    assert opening(dialect, payload) is verdict
    assert opening(dialect, payload, fin=False) is ReplyVerdict.COMMIT
    assert opening(dialect, payload, BINARY) is ReplyVerdict.COMMIT
    assert opening("opaque", payload) is ReplyVerdict.COMMIT


@pytest.mark.parametrize("opcode", [PING, PONG, CLOSE])
@pytest.mark.parametrize("dialect", NAMES)
def test_a_control_frame_commits_nobody(dialect: DialectName, opcode: int) -> None:
    assert opening(dialect, b"", opcode) is ReplyVerdict.PASS


@pytest.mark.parametrize("dialect", NAMES)
def test_closes_that_blame_the_server_are_no_answer(dialect: DialectName) -> None:
    codes = [None, 1000, 1001, 1002, 1003, 1008, 1009, 1011, 1012, 1013, 4002]
    conversation = make_dialect(dialect).open()
    verdicts = {code: conversation.classify_close(CloseInfo(code)) for code in codes}
    assert {code: verdict for code, verdict in verdicts.items() if verdict is not ReplyVerdict.COMMIT} == {
        1001: ReplyVerdict.FAILED,
        1011: ReplyVerdict.FAILED,
        1012: ReplyVerdict.REFUSED,
        1013: ReplyVerdict.REFUSED,
    }


def says(conversation: Conversation, payload: bytes, *, client: bool = False) -> bool:
    """Whether the connection's end would be the session's normal end after this message."""
    frame = Frame(TEXT, True, 0, len(payload), 0)
    if client:
        conversation.client_says(frame, lambda: payload)
    else:
        assert conversation.replica_says(frame, lambda: payload) is ReplyVerdict.PASS
    return conversation.may_end


@pytest.mark.parametrize(
    ("payload", "announced"),
    [
        (message(type="ltx2_stream_complete", reason="cap"), True),
        (message(type="ltx2_segment_start", prompt="ltx2_stream_complete"), False),
        (b"ltx2_stream_complete", False),
        (message(type="ltx2_segment_complete"), False),
    ],
)
def test_the_announced_end_of_a_stream_is_a_message_and_not_a_word_in_one(payload: bytes, announced: bool) -> None:
    conversation = make_dialect("fastvideo").open()
    assert says(conversation, payload) is announced
    assert says(conversation, message(type="step_complete")) is announced, "it is remembered"
    assert not says(make_dialect("opaque").open(), payload)
    assert not make_dialect("fastvideo").open().may_end, "of one session only"


def test_in_dreamverse_a_stream_may_end_and_the_session_goes_on() -> None:
    conversation = make_dialect("dreamverse").open()
    assert not says(conversation, message(type="ltx2_stream_complete"))
    assert not says(conversation, message(type="simple_generate", prompt="leave"), client=True)
    assert says(conversation, message(type="leave"), client=True)
    assert says(conversation, message(type="anything"), client=True)


def test_a_fragment_announces_nothing() -> None:
    fastvideo, dreamverse = make_dialect("fastvideo").open(), make_dialect("dreamverse").open()
    fragment = Frame(TEXT, False, 0, 10, 0)
    fastvideo.replica_says(fragment, lambda: message(type="ltx2_stream_complete"))
    dreamverse.client_says(fragment, lambda: message(type="leave"))
    assert not fastvideo.may_end
    assert not dreamverse.may_end


def test_a_dialect_can_be_given_and_an_unknown_one_is_named() -> None:
    class Mine(Opaque):
        name = "mine"

    mine = Mine()
    assert make_dialect("mine", {"mine": mine}) is mine
    with pytest.raises(ValueError, match="no dialect is called 'yours'; known are fastvideo, dreamverse, opaque, mine"):
        make_dialect("yours", {"mine": mine})


def payload_of(found: Message | None) -> bytes:
    assert found is not None
    assert found.opcode == TEXT
    return found.payload


def test_messages_to_the_client() -> None:
    error = FASTVIDEO.error("gpu_unavailable", "later", retryable=True, retry_after_seconds=3)
    assert json.loads(payload_of(error)) == {
        "type": "error",
        "code": "gpu_unavailable",
        "message": "later",
        "retryable": True,
        "retry_after_seconds": 3,
    }
    place = {"type": "queue_status", "position": 2, "queue_depth": 5}
    assert json.loads(payload_of(FASTVIDEO.queue_status(2, 5, None))) == place
    assert json.loads(payload_of(FASTVIDEO.queue_status(2, 5, 61.26))) == {**place, "estimated_wait_seconds": 61.3}


def test_opaque_understands_and_adds_nothing() -> None:
    assert OPAQUE.parse_first_message(b"whatever", text=True) == FirstMessage()
    assert OPAQUE.error("internal_error", "x", retryable=False) is None
    assert OPAQUE.queue_status(1, 1, 1.0) is None


@QUICK
@given(
    payload=st.one_of(
        st.binary(max_size=50),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(("type", "code", "client_id")), inner)
            ),
            max_leaves=6,
        ).map(lambda value: json.dumps(value).encode()),
    )
)
@pytest.mark.parametrize("dialect", NAMES)
def test_no_message_makes_a_dialect_raise(dialect: DialectName, payload: bytes) -> None:
    made = make_dialect(dialect).open()
    made.parse_first_message(payload, text=True)
    says(made, payload + b"ltx2_stream_complete")
    says(made, payload + b"leave", client=True)
    assert opening(dialect, payload) in ReplyVerdict
