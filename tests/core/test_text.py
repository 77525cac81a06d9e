"""Text of untrusted peers cannot control a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.samples import QUICK
from trio_router.core.http.head import RequestHead
from trio_router.core.scheduling.affinity import find_key
from trio_router.core.session.outcome import Cause, CloseInfo, FailedAttempt, Outcome, Phase, Side
from trio_router.core.text import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("plain ünï 🎬", "plain ünï 🎬"),
        ("\x1b[2J", r"\x1b[2J"),
        ("a\r\nb\x00\x7f\x9b", r"a\r\nb\x00\x7f\x9b"),
        ("\u202egpj\u2028", r"\u202egpj\u2028"),
        ("\ud800", r"\ud800"),
    ],
)
def test_what_is_not_printable_is_spelled(text: str, shown: str) -> None:
    assert printable(text) == shown


@QUICK
@given(st.text())
def test_everything_becomes_printable_and_stays_so(text: str) -> None:
    assert printable(text).isprintable()
    assert printable(printable(text)) == printable(text)


def test_a_session_is_told_of_in_printable_words() -> None:
    dirt = "\x1b]0;x\x07"
    close = CloseInfo(1000, dirt)
    outcome = Outcome(
        Side.CLIENT, Phase.STREAMING, Cause.CLOSED, dirt, close, close, close, close, tries=(FailedAttempt("a", dirt),)
    )
    assert "\x1b" not in "".join(str(value) for value in outcome.fields().values())
    assert outcome.client_got == close, "embedders are given what was said"


def test_an_affinity_key_is_printable() -> None:
    key = find_key(["client_id"], RequestHead(b"GET", b"/", []), "\u202ename")
    assert key == r"client_id:\u202ename"
