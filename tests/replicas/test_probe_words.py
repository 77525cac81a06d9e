"""Errors of probes in one short line."""

from __future__ import annotations

import errno

import httpx
import pytest

from trio_router.replicas.probe_client import WORDS, words


def caused(exc: BaseException, *causes: BaseException) -> BaseException:
    """It, with its chain of causes."""
    at = exc
    for cause in causes:
        at.__cause__ = at = cause
    return exc


REFUSED = OSError(errno.ECONNREFUSED, "Error connecting to ('10.0.0.1', 80): Connection refused")


@pytest.mark.parametrize(
    ("exc", "line"),
    [
        (KeyError("whatever"), "KeyError: 'whatever'"),
        (AssertionError(), "AssertionError"),
        (caused(RuntimeError(), ValueError("deeper")), "RuntimeError: deeper"),
        (caused(ValueError("mine"), REFUSED), "ValueError: mine"),
        (caused(httpx.ConnectError("all failed"), OSError("all failed")), "ConnectError: all failed"),
        (
            caused(
                httpx.ConnectError("all failed"), OSError("all failed"), ExceptionGroup("two", [REFUSED, OSError(1)])
            ),
            "ConnectError: [Errno 111] Connection refused",
        ),
        (ValueError("\x1b[31m two\nlines"), "ValueError: ?[31m two?lines"),
    ],
)
def test_an_error_is_its_type_and_what_is_known_of_its_cause(exc: BaseException, line: str) -> None:
    assert words(exc) == line


def test_a_long_message_is_cut() -> None:
    line = words(ValueError("x" * 100_000))
    assert len(line) == WORDS
    assert line.endswith("x…")


def test_a_loop_of_causes_ends() -> None:
    one, two = ValueError(), ValueError()
    one.__cause__, two.__cause__ = two, one
    assert words(one) == "ValueError"
