"""What each dialect understands of the messages, and what it adds."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from core_samples import QUICK
from hypothesis import given
from hypothesis import strategies as st

from trio_router.core.config.blocks import Dialect as DialectName
from trio_router.core.dialects import ClientHello, Verdict, make_dialect
from trio_router.core.frames import WATCH_NOTHING, WATCH_TEXT
from trio_router.core.framing import BINARY, CLOSE, PING, PONG, TEXT, Frame
from trio_router.core.outcome import CloseInfo

NAMES: tuple[DialectName, ...] = get_args(DialectName)
FASTVIDEO = make_dialect("fastvideo")
OPAQUE = make_dialect("opaque")


def message(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def opening(dialect: DialectName, payload: bytes, opcode: int = TEXT, *, fin: bool = True) -> Verdict:
    return make_dialect(dialect).opening(Frame(opcode, fin, 0, len(payload), 0), payload)


@pytest.mark.parametrize("name", NAMES)
def test_a_dialect_is_made_by_its_name(name: DialectName) -> None:
    assert make_dialect(name).name == name


def test_what_tells_the_dialects_apart() -> None:
    rows = {
        d.name: (d.client_speaks_first, d.replica_must_reply, d.watch) for d in (make_dialect(name) for name in NAMES)
    }
    assert rows == {
        "fastvideo": (True, True, WATCH_TEXT),
        "dreamverse": (False, True, WATCH_TEXT),
        "opaque": (False, False, WATCH_NOTHING),
    }


def test_hello_reads_who_the_client_is_and_what_it_wants() -> None:
    hello = FASTVIDEO.hello(message(type="session_init_v2", client_id="c1", preset="wan", more=1), text=True)
    assert hello == ClientHello(client_id="c1", preset="wan")
    assert FASTVIDEO.hello(message(type="session_init_v2"), text=True) == ClientHello()


@pytest.mark.parametrize("value", [None, 5, "", [], {}, True, "x" * 257, "\ud800"])
def test_a_client_id_that_is_no_short_text_is_none(value: object) -> None:
    hello = FASTVIDEO.hello(message(type="session_init_v2", client_id=value, preset=value), text=True)
    assert hello == ClientHello()


@pytest.mark.parametrize("value", ["x", "x" * 256, "ünï 🎬"])
def test_a_client_id_that_is_a_short_text_is_taken(value: str) -> None:
    assert FASTVIDEO.hello(message(type="session_init_v2", client_id=value), text=True).client_id == value


@pytest.mark.parametrize("mark", ["\x00", "\n", "\x1b", "\x7f", "\x80", "\x9b"])
def test_control_characters_make_no_client_id_and_no_preset_that_is_known(mark: str) -> None:
    hello = FASTVIDEO.hello(message(type="session_init_v2", client_id=f"c{mark}", preset=f"wan{mark}"), text=True)
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
    problem = FASTVIDEO.hello(first, text=True).problem
    assert problem is not None
    assert "session_init_v2" in problem
    assert words in problem
    assert len(problem) < 400


def test_a_binary_first_message_is_refused() -> None:
    assert FASTVIDEO.hello(message(type="session_init_v2"), text=False).problem


@pytest.mark.parametrize(
    ("payload", "verdict"),
    [
        (message(type="queue_status", position=0, queue_depth=0), Verdict.PASS),
        (message(type="gpu_assigned", gpu_id=0), Verdict.COMMIT),
        (message(type="error", code="session_rejected"), Verdict.REFUSED),
        (message(type="error", code="gpu_unavailable"), Verdict.REFUSED),
        (message(type="error", code="worker_failed"), Verdict.FAILED),
        (message(type="error", code="upstream_timeout"), Verdict.FAILED),
        (message(type="error", code="internal_error"), Verdict.FAILED),
        (message(type="error", code="invalid_message"), Verdict.COMMIT),
        (message(type="error", code="preset_mismatch"), Verdict.COMMIT),
        (message(type="error", code=["session_rejected"]), Verdict.COMMIT),
        (message(type="error"), Verdict.COMMIT),
        (message(type={}), Verdict.COMMIT),
        (b"anything", Verdict.COMMIT),
        (b"[1]", Verdict.COMMIT),
    ],
)
@pytest.mark.parametrize("dialect", ["fastvideo", "dreamverse"])
def test_what_a_replicas_first_messages_mean(dialect: DialectName, payload: bytes, verdict: Verdict) -> None:
    assert opening(dialect, payload) is verdict
    assert opening(dialect, payload, fin=False) is Verdict.COMMIT
    assert opening(dialect, payload, BINARY) is Verdict.COMMIT
    assert opening("opaque", payload) is Verdict.COMMIT


@pytest.mark.parametrize("opcode", [PING, PONG, CLOSE])
@pytest.mark.parametrize("dialect", NAMES)
def test_a_control_frame_commits_nobody(dialect: DialectName, opcode: int) -> None:
    assert opening(dialect, b"", opcode) is Verdict.PASS


@pytest.mark.parametrize("dialect", NAMES)
def test_closes_that_mean_not_me_not_now(dialect: DialectName) -> None:
    codes = [None, 1000, 1001, 1002, 1003, 1008, 1009, 1011, 1012, 1013, 4002]
    refusing = [code for code in codes if make_dialect(dialect).refuses(CloseInfo(code))]
    assert refusing == [1001, 1011, 1012, 1013]


def test_the_announced_end_of_a_stream_is_a_message_and_not_a_word_in_one() -> None:
    end = message(type="ltx2_stream_complete", reason="cap")
    assert FASTVIDEO.completes(end)
    assert not FASTVIDEO.completes(message(type="ltx2_segment_start", prompt="ltx2_stream_complete"))
    assert not FASTVIDEO.completes(b"ltx2_stream_complete")
    assert not FASTVIDEO.completes(message(type="ltx2_segment_complete"))
    assert not OPAQUE.completes(end)


def test_messages_to_the_client() -> None:
    error = FASTVIDEO.error("gpu_unavailable", "later", retryable=True, retry_after_seconds=3)
    assert json.loads(error or b"") == {
        "type": "error",
        "code": "gpu_unavailable",
        "message": "later",
        "retryable": True,
        "retry_after_seconds": 3,
    }
    place = {"type": "queue_status", "position": 2, "queue_depth": 5}
    assert json.loads(FASTVIDEO.queue_status(2, 5, None) or b"") == place
    assert json.loads(FASTVIDEO.queue_status(2, 5, 61.26) or b"") == {**place, "estimated_wait_seconds": 61.3}


def test_opaque_understands_and_adds_nothing() -> None:
    assert OPAQUE.hello(b"whatever", text=True) == ClientHello()
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
    made = make_dialect(dialect)
    made.hello(payload, text=True)
    made.completes(payload + b"ltx2_stream_complete")
    assert opening(dialect, payload) in Verdict
