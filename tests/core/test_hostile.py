"""What hostile peers send, and what careless operators write: none of it costs more than it is worth, or raises."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.samples import QUICK, heal, make_registry, wire
from trio_router.cli.settings import load_config
from trio_router.core.config import RouterConfig, parse_config
from trio_router.core.dialects import make_dialect
from trio_router.core.dialects.fastvideo import MAX_VALUES
from trio_router.core.errors import ConfigError
from trio_router.core.http.head import parse_head, without_upgrade
from trio_router.core.replicas.replica import LINGER_SECONDS, Report
from trio_router.core.websocket.buffer import FrameBuffer
from trio_router.core.websocket.frames import BINARY, PING, PONG
from trio_router.core.websocket.scanner import WATCH_ALL, WATCH_NOTHING, FrameScanner
from trio_router.core.websocket.scratch import Scratch

# Frames


class Counting(bytearray):
    """A buffer that counts the bytes that are moved within it."""

    moved = 0

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(key, slice):
            type(self).moved += len(value)
        super().__setitem__(key, value)


def client_flow(scratch: Scratch, watch: frozenset[int] = WATCH_ALL) -> FrameBuffer:
    scanner = FrameScanner(masked=True, hold_bytes=4096, max_message_bytes=4096, watch=watch)
    return FrameBuffer(scanner, scratch, masked=True)


def read(buffer: FrameBuffer, data: bytes) -> None:
    buffer.get_buffer()[: len(data)] = data
    buffer.feed(len(data))


_runs = st.lists(st.tuples(st.sampled_from((BINARY, PING, PONG)), st.integers(0, 9), st.integers(1, 60)), max_size=20)


@QUICK
@given(runs=_runs, data=st.data())
def test_what_goes_on_is_exactly_what_was_kept_however_many_frames_are_dropped(
    runs: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    frames = [wire(opcode, bytes([i % 251]) * size, masked=True) for opcode, size, n in runs for i in range(n)]
    keep = data.draw(st.lists(st.booleans(), min_size=len(frames), max_size=len(frames)))
    sent, buffer = b"".join(frames), client_flow(Scratch(8192))
    cut = data.draw(st.integers(0, len(sent)))
    arrived, turn = b"", 0
    for part in (sent[:cut], sent[cut:]):
        for start in range(0, len(part), 4096):
            read(buffer, part[start : start + 4096])
            while buffer.event is not None:
                buffer.resume(keep=keep[turn])
                turn += 1
            arrived += buffer.take()
            buffer.release()
    assert turn == len(frames)
    assert arrived == b"".join(frame for frame, kept in zip(frames, keep, strict=True) if kept)


@QUICK
@given(runs=_runs, last=st.booleans(), dropped=st.booleans())
def test_it_is_so_too_where_the_flow_ends_among_dropped_frames(
    runs: list[tuple[int, int, int]], last: bool, dropped: bool
) -> None:
    before = [wire(opcode, bytes(size), masked=True) for opcode, size, n in runs for _ in range(n)][:300]
    final = wire(BINARY, b"final", masked=True)
    buffer, scratch_bytes = (
        client_flow(Scratch(32_768)),
        b"".join(before) + final + wire(BINARY, b"behind", masked=True),
    )
    read(buffer, scratch_bytes)
    kept = b""
    for index, frame in enumerate(before):
        keep = not dropped or index % 3 == 0
        kept += frame if keep else b""
        buffer.resume(keep=keep)
    buffer.resume(keep=last, stop=True)
    assert buffer.event is None
    assert bytes(buffer.take()) == kept + (final if last else b"")


def test_bytes_are_moved_once_however_many_frames_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client may send nothing but pongs: a mebibyte of them, each moved down by the next, was 90 gigabytes."""
    monkeypatch.setattr("trio_router.core.websocket.scratch.WINDOWS", ())  # all of it in one read
    scratch = Scratch(1024 * 1024)
    pairs = wire(PONG, b"", masked=True) + wire(BINARY, bytes(20), masked=True)
    data = pairs * 20_000
    buffer = client_flow(scratch, WATCH_NOTHING)
    read(buffer, data)
    scratch.buf = buffer._buf = Counting(scratch.buf)
    Counting.moved = 0
    while buffer.event is not None:
        buffer.resume(keep=False)
    assert len(bytes(buffer._buf[: len(buffer.take())])) == 20_000 * 26
    assert Counting.moved <= len(data)


# First messages


def first(**fields: Any) -> str | None:
    message = json.dumps({"type": "session_init_v2", **fields}).encode()
    return make_dialect("fastvideo").open().parse_first_message(message, text=True).problem


@pytest.mark.parametrize(
    "bomb", [[0] * (MAX_VALUES + 1), [[]] * (MAX_VALUES + 1), {str(i): 0 for i in range(MAX_VALUES)}]
)
def test_a_first_message_of_too_many_values_is_refused(bomb: object) -> None:
    assert first(extra=bomb)


def test_an_image_is_one_value_and_a_prompt_has_commas() -> None:
    assert first(initial_image="data:image/png;base64," + "A" * (1024 * 1024), prompt="a, b, [c], {d}, " * 1000) is None


# Slots


@pytest.mark.parametrize(("reports", "lingering"), [(True, 1), (False, 0)])
def test_a_lingering_slot_is_given_up_only_where_nobody_reports(reports: bool, lingering: int) -> None:
    registry = make_registry(1)
    (replica,) = registry.replicas
    heal(registry, replica, report=Report(asked_at=0.0, busy=0, total=1))
    slot = registry.reserve(now=1.0)
    assert slot is not None
    registry.release(slot, now=2.0, linger=True)
    for now in (10.0, LINGER_SECONDS, 2.0 + LINGER_SECONDS, 10 * LINGER_SECONDS):
        report = Report(asked_at=now, busy=1, total=1) if reports else None
        heal(registry, replica, now=now, report=report)
    assert len(replica.lingering_since) == lingering
    assert replica.available(10 * LINGER_SECONDS) is not reports
    heal(registry, replica, now=2000.0, report=Report(asked_at=2000.0, busy=0, total=1))
    assert not replica.lingering_since
    assert replica.available(2000.0)


# Heads


def test_a_request_loses_its_wish_for_another_protocol_and_nothing_else() -> None:
    head = b"GET / HTTP/1.1\r\nHost: x\r\nUPGRADE: h2c\r\nX: upgrade: y\r\nhttp2-Settings: AAMAAABk\r\n\r\n"
    assert without_upgrade(head) == b"GET / HTTP/1.1\r\nHost: x\r\nX: upgrade: y\r\n\r\n"


@pytest.mark.parametrize("target", [b"http://x/status", b"status", b""])
def test_a_target_that_is_no_path_is_no_request(target: bytes) -> None:
    assert parse_head(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n") is None


@pytest.mark.parametrize("byte", [b"\x00", b"\x01", b"\x0b", b"\x1b", b"\x7f"])
def test_control_characters_are_no_request(byte: bytes) -> None:
    assert parse_head(b"GET / HTTP/1.1\r\nHost: x\r\nA: b" + byte + b"c\r\n\r\n") is None
    assert parse_head(b"GET / HTTP/1.1\r\nHost: x\r\nA: b\tc\r\n\r\n") is not None


# Configuration


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_config(textwrap.dedent(text))
    return caught.value.problems


@pytest.mark.parametrize(
    ("key", "name"), [("8000", "8000"), ("on", "True"), ("2024-01-01", "2024-01-01"), ("~", "None")]
)
def test_keys_that_are_no_texts_are_unknown_keys(key: str, name: str) -> None:
    found = problems(f"router:\n  {key}: 1\n  replicas:\n  - url: http://a\n    {key}: {{{key}: 2}}\n")
    assert [line.split("; ")[0] for line in found] == [
        f"router.{name}: unknown key",
        f"router.replicas[0].{name}: unknown key",
    ]
    (found_inside,) = problems(f"router:\n  replicas: [{{url: 'http://a'}}]\n  timeouts: {{{key}: 2}}\n")
    assert found_inside.startswith(f"router.timeouts.{name}: unknown key; ")


def test_a_block_that_contains_itself_is_a_line() -> None:
    assert problems("router: &r\n  replicas: [{url: 'http://a'}]\n  limits: *r\n")


@pytest.mark.parametrize("value", ["true", "yes", "off"])
def test_a_truth_value_is_no_number_of_sessions(value: str) -> None:
    (line,) = problems(f"router:\n  replicas: [{{url: 'http://a', max_sessions: {value}}}]\n")
    assert line.startswith("router.replicas[0].max_sessions: must be a number or auto")


@pytest.mark.parametrize("block", ["timeouts", "limits", "queue", "affinity", "shutdown", "health_check"])
def test_a_block_whose_keys_are_all_commented_out_is_the_default(block: str) -> None:
    text = f"router:\n  {block}:\n    # nothing = 1\n  replicas: [{{url: 'http://a'}}]\n"
    assert parse_config(text) == parse_config("router: {replicas: [{url: 'http://a'}]}")
    assert isinstance(parse_config(text), RouterConfig)


def test_a_null_where_no_block_is_due_is_still_wrong() -> None:
    assert problems("router:\n  port:\n  replicas: [{url: 'http://a'}]\n")


def test_a_bad_variable_is_named_and_not_the_file(tmp_path: Path) -> None:
    path = tmp_path / "router.yaml"
    path.write_text("router: {port: 9000, prot: 1, replicas: [{url: 'http://a'}]}")
    with pytest.raises(ConfigError) as caught:
        load_config(str(path), environ={"TRIO_ROUTER_PORT": "abc"})
    assert sorted(line.partition(": ")[0] for line in caught.value.problems) == ["TRIO_ROUTER_PORT", "router.prot"]
    assert "'abc'" in str(caught.value)
