"""How long the steps of a session took, as far as it came."""

from __future__ import annotations

from trio_router.core.relay.timing import Timing

Spans = tuple[float | None, float | None, float | None, float | None]


def spans(timing: Timing) -> Spans:
    """(queue, dial, first frame, first media)."""
    return timing.queue_seconds, timing.dial_seconds, timing.first_frame_seconds, timing.first_media_seconds


def test_each_step_is_measured_from_the_one_before_it() -> None:
    timing = Timing(10.0)
    assert spans(timing) == (None, None, None, None)
    timing.picked(13.0)
    assert spans(timing) == (3.0, None, None, None)
    timing.connected(13.5)
    assert spans(timing) == (3.0, 0.5, None, None)
    timing.committed(15.0, media=False)
    assert spans(timing) == (3.0, 0.5, 1.5, None)
    timing.media(17.5)
    assert spans(timing) == (3.0, 0.5, 1.5, 4.0)


def test_an_answer_that_begins_with_media_is_both() -> None:
    timing = Timing(0.0)
    timing.picked(0.0)
    timing.connected(1.0)
    timing.committed(3.0, media=True)
    assert spans(timing) == (0.0, 1.0, 2.0, 2.0)


def test_a_replica_that_was_dialled_before_the_client_was_answered_was_not_waited_for() -> None:
    timing = Timing(5.0)
    timing.connected(6.0)
    assert spans(timing) == (1.0, 0.0, None, None)


def test_only_the_last_attempt_counts() -> None:
    timing = Timing(0.0)
    timing.picked(1.0)
    timing.connected(2.0)
    timing.picked(8.0)
    assert spans(timing) == (8.0, None, None, None)
    timing.connected(8.5)
    timing.committed(9.0, media=False)
    assert spans(timing) == (8.0, 0.5, 0.5, None)
