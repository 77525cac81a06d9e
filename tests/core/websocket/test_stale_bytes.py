"""A scanner's buffer is shared: past the end of the data lies what another direction's read left there."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.core.samples import LENGTHS, MIB, QUICK, frames_of_messages, head, wire
from trio_router.core.websocket.frames import BINARY
from trio_router.core.websocket.scanner import FrameScanner

#: What an earlier read may have left: any header byte, and whole frames.
_stale = st.one_of(st.binary(min_size=14, max_size=14), st.sampled_from((b"\x00" * 14, b"\xff" * 14)))
#: Also headers that are wrong, so that their fault must not be seen before they have come.
_odd = st.sampled_from(
    (
        b"",
        head(0x82, 126, 0, 125),
        head(0x82, 127, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF),
        head(0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0),
        head(0x82, 127, 0, 0, 0, 0, 1, 0, 0, 0),
        head(0x83, 0),
    )
)


def all_of(scanner: FrameScanner) -> dict[str, object]:
    return {name: getattr(scanner, name) for name in FrameScanner.__slots__}


def assert_stale_bytes_do_not_matter(data: bytes, cut: int, stale: bytes, *, masked: bool, hold: int) -> None:
    """The same result whether nothing, or anything, lies past the cut."""
    found = []
    for behind in (b"", stale, data[cut:] + stale):
        scanner = FrameScanner(masked=masked, hold_bytes=hold, max_message_bytes=MIB)
        pos = scanner.scan(bytearray(data[:cut] + behind), 0, cut)
        found.append((pos, all_of(scanner)))
        assert pos <= cut
    assert found[0] == found[1] == found[2]


@QUICK
@given(
    parts=frames_of_messages(max_messages=2),
    odd=_odd,
    stale=_stale,
    masked=st.booleans(),
    hold=st.sampled_from((1, 200, MIB)),
    data=st.data(),
)
def test_what_lies_behind_the_end_of_the_data_never_matters(
    parts: list[tuple[int, bytes, bool]], odd: bytes, stale: bytes, masked: bool, hold: int, data: st.DataObject
) -> None:
    sent = b"".join(wire(opcode, payload, fin=fin, masked=masked) for opcode, payload, fin in parts) + odd
    cut = data.draw(st.integers(0, len(sent)))
    assert_stale_bytes_do_not_matter(sent, cut, stale, masked=masked, hold=hold)


def test_a_header_that_is_cut_anywhere_is_not_read_on_into_stale_bytes() -> None:
    """Every cut of every kind of header, over every byte that may decide: the length's first and last ones."""
    odd = (head(0x82, 126, 0, 125), head(0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0), head(0x82, 127, 0, 0, 0, 0, 0, 0, 1, 0))
    for masked in (False, True):
        bit = 0x80 if masked else 0
        for before in (b"", wire(BINARY, b"abc", masked=masked)):
            good = [wire(BINARY, b"\x01" * size, masked=masked)[:20] for size in LENGTHS]
            wrong = [bytes((one[0], one[1] | bit, *one[2:])) for one in odd]
            for header in (*good, *wrong):
                for cut in range(len(before), len(before) + len(header)):
                    for fill in (b"\x00", b"\x01", b"\x7f", b"\xff"):
                        assert_stale_bytes_do_not_matter(before + header, cut, fill * 14, masked=masked, hold=MIB)


def test_a_run_of_equal_frames_ends_with_the_data() -> None:
    """The rest of the run lies in the buffer already, from an earlier read."""
    for masked in (False, True):
        one = wire(BINARY, b"abc", masked=masked)
        run = one * 5
        for cut in range(len(run)):
            assert_stale_bytes_do_not_matter(run, cut, one * 2, masked=masked, hold=MIB)
