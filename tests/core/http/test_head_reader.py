"""A head is found however it is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.samples import QUICK
from trio_router.core.errors import HeadTooLarge, RouterError
from trio_router.core.http.head_reader import HeadReader

HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@QUICK
@given(st.lists(st.integers(1, 40), min_size=1), st.sampled_from([b"", b"\r\n", b"\r\n\r\n", b"early"]))
def test_a_head_in_pieces_is_found_and_nothing_is_lost(sizes: list[int], early: bytes) -> None:
    data, reader, fed = HEAD + early, HeadReader(limit=len(HEAD) + 40), b""
    for size in sizes * len(data):
        piece = data[len(fed) : len(fed) + size]
        fed += piece
        if reader.feed(piece) is not None:
            break
        assert (reader.head, reader.early) == (b"", b"")
    assert reader.head == HEAD
    assert HEAD + reader.early == fed


def test_a_head_may_have_as_many_bytes_as_the_limit_whatever_follows_it() -> None:
    assert HeadReader(len(HEAD)).feed(HEAD + b"x" * 100) == HEAD
    with pytest.raises(HeadTooLarge, match=f"more than {len(HEAD) - 1} bytes") as caught:
        HeadReader(len(HEAD) - 1).feed(HEAD)
    assert isinstance(caught.value, RouterError)
    assert caught.value.limit == len(HEAD) - 1


def test_a_head_without_an_end_is_given_up_at_the_limit() -> None:
    reader = HeadReader(limit=10)
    assert reader.feed(b"x" * 10) is None
    with pytest.raises(HeadTooLarge):
        reader.feed(b"x")
