"""A replica's report is parsed within bounds, whatever it sends."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.samples import heal, make_registry
from trio_router.core.replicas.balancing import load
from trio_router.core.replicas.replica import Report
from trio_router.core.replicas.report import KEEP_SECONDS, MOST, read_fields, read_report, report_without_ready

HUGE = b"1" + b"0" * 400


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"ok",
        b"\xff\xfe",
        b"[" * 60_000,
        b'{"a":' * 13_000,
        b"[1]",
        b"7",
        b"null",
        b'{"a": 1',
        b'"' + b"\xc3" * 60_000,
    ],
)
def test_a_body_that_is_no_json_object_says_nothing(body: bytes) -> None:
    assert read_fields(body) == {}


def test_the_fields_of_an_object_are_read() -> None:
    assert read_fields(b' {"sessions": 3, "deep": {"n": [-1, 123456789012345678]}} ') == {
        "sessions": 3,
        "deep": {"n": [-1, 123456789012345678]},
    }


@pytest.mark.parametrize("digits", [HUGE, b"9" * 60_000])
def test_an_integer_of_any_length_is_the_largest_count(digits: bytes) -> None:
    assert read_fields(b'{"sessions": %s, "total": -%s, "status": "ok"}' % (digits, digits)) == {
        "sessions": MOST,
        "total": -1,
        "status": "ok",
    }


NO_COUNTS: list[Any] = [-1, -(10**400), 1.0, 1e300, float("nan"), True, "7", None, [], {}]


@pytest.mark.parametrize(
    ("value", "count"),
    [(0, 0), (7, 7), (MOST, MOST), (MOST + 1, MOST), (10**400, MOST), *((value, None) for value in NO_COUNTS)],
)
def test_a_count_is_between_none_and_the_most(value: Any, count: int | None) -> None:
    report = read_report({"sessions": value}, {"total_gpus": value}, 5.0)
    assert report == (None if count is None else Report(5.0, count, count))


def test_the_busier_of_both_answers_counts() -> None:
    ready = {"status": "ready", "ready_gpu_workers": 4, "total_gpus": 4, "available_gpus": 1}
    assert read_report({"sessions": 2}, ready, 1.0) == Report(1.0, 3, 4)
    assert read_report({"sessions": 4}, ready, 1.0) == Report(1.0, 4, 4)
    assert read_report({}, {"total_gpus": 2, "available_gpus": 10**400}, 1.0) == Report(1.0, 0, 2)
    assert read_report({}, {"available_gpus": 2}, 1.0) is None


@pytest.mark.parametrize("ready", [{"status": "warming"}, {"ready_gpu_workers": 0}])
def test_a_replica_that_warms_up_says_so(ready: dict[str, Any]) -> None:
    assert read_report({}, ready, 1.0) == Report(1.0, warming=True)


def test_while_the_readiness_cannot_be_read_the_last_report_is_kept_for_a_while() -> None:
    last = Report(10.0, busy=3, total=4, warming=True)
    assert report_without_ready({"sessions": 1}, None, 11.0, unread_since=11.0) == Report(11.0, 1)
    assert report_without_ready({"sessions": 1}, last, 11.0, unread_since=11.0) is None
    assert report_without_ready({"sessions": 1}, last, 10.9 + KEEP_SECONDS, unread_since=11.0) is None
    later = 11.0 + KEEP_SECONDS
    assert report_without_ready({"sessions": 1}, last, later, unread_since=11.0) == Report(later, 1, 4)
    assert report_without_ready({}, last, later, unread_since=11.0) == Report(later, None, 4)


_JSON: st.SearchStrategy[Any] = st.one_of(
    st.integers(-2, 9),
    st.integers(0, 400).map(lambda exponent: 10**exponent),
    st.floats(),
    st.sampled_from([None, True, False, "warming", "ready", "", [], {}]),
)
_NAMES = ("sessions", "total_gpus", "available_gpus", "ready_gpu_workers", "status")


@given(st.dictionaries(st.sampled_from(_NAMES), _JSON), st.dictionaries(st.sampled_from(_NAMES), _JSON))
def test_no_answer_breaks_those_who_calculate_with_it(health: dict[str, Any], ready: dict[str, Any]) -> None:
    report = read_report(read_fields(json.dumps(health).encode()), read_fields(json.dumps(ready).encode()), 1.0)
    registry = make_registry(2, healthy=False)
    for replica in registry.replicas:
        heal(registry, replica, now=2.0, report=report)
        assert 0 <= load(replica, 2.0) <= MOST
    slot = registry.reserve(now=2.0)
    if slot is not None:
        registry.release(slot, now=3.0, linger=True)


def test_a_remark_on_a_good_probe_is_the_last_error() -> None:
    registry = make_registry(1, healthy=False)
    replica = registry.replicas[0]
    registry.probe_succeeded(replica, latency_ms=1.0, wall=1.0, now=1.0, remark="/readyz: too long")
    assert (str(replica.health.status), replica.health.last_error) == ("healthy", "/readyz: too long")
    registry.probe_succeeded(replica, latency_ms=1.0, wall=2.0, now=2.0)
    assert replica.health.last_error == "/readyz: too long"
