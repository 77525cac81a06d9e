"""Which close frames a peer must not send. The oracle is the `websockets` library's parser."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.exceptions import ProtocolError
from websockets.frames import Close

from tests.core.samples import QUICK
from trio_router.core.websocket.frames import close_fault, close_payload, may_be_sent


def they_refuse(payload: bytes) -> int | None:
    """The close code that `websockets` answers such a body with; None if it accepts it."""
    if not payload:
        return None  # theirs stands for it as 1005, which is only reported
    try:
        Close.parse(payload).check()
    except ProtocolError:
        return 1002
    except UnicodeDecodeError:
        return 1007
    return None


def body(code: int, reason: bytes = b"") -> bytes:
    return code.to_bytes(2, "big") + reason


def test_every_code_is_rated_as_websockets_rates_it() -> None:
    for code in range(65536):
        fault = close_fault(body(code))
        assert (fault and fault[0]) == they_refuse(body(code))
        assert may_be_sent(code) is (fault is None)


@QUICK
@given(payload=st.one_of(st.binary(max_size=125), st.builds(body, st.sampled_from((1000, 1016, 3000)), st.binary())))
@example(payload=b"")
@example(payload=b"\x03")
@example(payload=b"\x03\xe8\xc3")
def test_any_body_is_rated_as_websockets_rates_it(payload: bytes) -> None:
    fault = close_fault(payload)
    refused = they_refuse(payload)
    # A wrong code with a wrong reason has two faults; only which one is named differs.
    if fault is None or refused is None or len(payload) < 2 or may_be_sent(int.from_bytes(payload[:2], "big")):
        assert (fault and fault[0]) == refused
    else:
        assert fault[0] == 1002


@pytest.mark.parametrize(
    ("payload", "code", "reason"),
    [
        (b"\x03", 1002, "a close frame has a body of one byte"),
        (body(1016), 1002, "close code 1016 must not be sent"),
        (body(1100), 1002, "close code 1100 must not be sent"),
        (body(2999, b"bye"), 1002, "close code 2999 must not be sent"),
        (body(5000), 1002, "close code 5000 must not be sent"),
        (body(1000, b"\xff"), 1007, "the reason of a close frame is not UTF-8"),
    ],
)
def test_the_fault_is_named(payload: bytes, code: int, reason: str) -> None:
    assert close_fault(payload) == (code, reason)


@pytest.mark.parametrize("code", [1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999])
def test_a_reserved_code_is_never_passed_on(code: int) -> None:
    assert close_payload(code, "mine") == close_payload(1002, "invalid close code")


def test_a_close_frame_with_a_code_alone_has_a_body_of_two_bytes() -> None:
    assert close_payload(1000) == b"\x03\xe8"
