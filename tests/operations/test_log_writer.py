"""The log's writer: whoever reads the lines can stall or go, and the router does not notice."""

from __future__ import annotations

import io
import logging
import os
import threading
from collections.abc import Iterator

import pytest
import structlog

from trio_router.core.config import LogConfig
from trio_router.operations import log_writer as logwriter
from trio_router.operations.log_writer import LogWriter
from trio_router.operations.logging import configure_logs, get_logger

BOUND_SECONDS = 10.0


class Stalling(io.StringIO):
    """A stream that takes nothing until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.stuck, self.go_on = threading.Event(), threading.Event()  # for the writer's thread

    def write(self, text: str) -> int:
        self.stuck.set()
        assert self.go_on.wait(BOUND_SECONDS)
        return super().write(text)


@pytest.fixture
def stalling(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stalling]:
    monkeypatch.setattr(logwriter, "QUEUE_LINES", 4)
    stream = Stalling()
    yield stream
    stream.go_on.set()


def told_writer(stream: Stalling) -> LogWriter:
    writer = LogWriter(stream, dropped=lambda lines: writer.write(f"dropped {lines}"))
    return writer


def test_lines_come_in_their_order() -> None:
    stream = io.StringIO()
    writer = LogWriter(stream)
    for number in range(100):
        writer.write(str(number))
    assert writer.flush(BOUND_SECONDS)
    assert stream.getvalue().split() == [str(number) for number in range(100)]


def test_what_finds_the_queue_full_is_dropped_and_told_in_its_place(stalling: Stalling) -> None:
    writer = told_writer(stalling)
    writer.write("first")
    assert stalling.stuck.wait(BOUND_SECONDS)
    for number in range(7):
        writer.write(str(number))  # returns, though nobody reads
    stalling.go_on.set()
    assert writer.flush(BOUND_SECONDS)
    writer.write("later")
    assert writer.flush(BOUND_SECONDS)
    assert stalling.getvalue().splitlines() == ["first", "0", "1", "2", "3", "dropped 3", "later"]


def test_it_does_not_tell_of_every_line_while_it_flows_slowly(stalling: Stalling) -> None:
    """After a drop half of the queue must be free before anything is taken again."""
    writer = told_writer(stalling)
    writer.write("first")
    assert stalling.stuck.wait(BOUND_SECONDS)
    for number in range(5):
        writer.write(str(number))
    assert writer._lines.get() == "0"  # one place is free
    writer.write("too early")
    stalling.go_on.set()
    assert writer.flush(BOUND_SECONDS)
    assert stalling.getvalue().splitlines() == ["first", "1", "2", "3", "dropped 2"]


def test_the_end_of_the_process_does_not_wait_for_ever(stalling: Stalling) -> None:
    writer = LogWriter(stalling)
    writer.write("first")
    assert not writer.flush(0.01)


def test_lines_that_could_not_be_written_are_told_when_one_can_be() -> None:
    class Full(io.StringIO):
        left = 3

        def write(self, text: str) -> int:
            if self.left:
                self.left -= 1
                raise OSError(28, "No space left on device")
            return super().write(text)

    stream = Full()
    writer = LogWriter(stream, dropped=lambda lines: writer.write(f"dropped {lines}"))
    for number in range(4):
        writer.write(str(number))
    assert writer.flush(BOUND_SECONDS)
    assert writer.flush(BOUND_SECONDS)
    assert stream.getvalue().splitlines() == ["3", "dropped 3"]


def test_without_standard_error_nothing_is_written_and_nothing_happens() -> None:
    for stream in (None, io.StringIO()):
        if stream is not None:
            stream.close()
        writer = LogWriter(stream)
        writer.write("words")
        assert writer.flush(BOUND_SECONDS)


def test_a_pipe_that_was_made_non_blocking_is_waited_for() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    text = b"x" * 1_000_000
    got = bytearray()

    def read() -> None:
        while data := os.read(reading, 65536):
            got.extend(data)

    reader = threading.Thread(target=read)
    reader.start()
    logwriter.write_all(writing, text)
    os.close(writing)
    reader.join(BOUND_SECONDS)
    os.close(reading)
    assert got == text


@pytest.fixture
def _own_logs() -> Iterator[None]:
    before, configured = structlog.get_config(), structlog.is_configured()
    yield
    structlog.configure(**before) if configured else structlog.reset_defaults()


@pytest.mark.usefixtures("_own_logs")
@pytest.mark.parametrize("level", ["info", "error"])
def test_dropped_lines_are_told_at_every_level(level: str, monkeypatch: pytest.MonkeyPatch, stalling: Stalling) -> None:
    monkeypatch.setattr("sys.stderr", stalling)
    writer = configure_logs(LogConfig(level=level, format="json"))
    log = get_logger("trio_router.test")
    log.error("first")
    assert stalling.stuck.wait(BOUND_SECONDS)
    for _ in range(10):
        log.error("words")
    stalling.go_on.set()
    assert writer.flush(BOUND_SECONDS)
    log.error("later")
    assert writer.flush(BOUND_SECONDS)
    assert '"event": "6 log lines were dropped"' in stalling.getvalue()


@pytest.mark.usefixtures("_own_logs")
def test_an_embedder_who_configured_nothing_has_it_in_the_standard_library(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    structlog.reset_defaults()
    caplog.set_level(logging.INFO, logger="trio_router")
    log = get_logger("trio_router.test")
    log.debug("unwanted")
    log.info("words", value=1, name="x")
    try:
        raise LookupError("mine")
    except LookupError:
        log.exception("crashed")
    assert [record.message for record in caplog.records] == ["words value=1 name='x'", "crashed"]
    assert caplog.records[1].exc_info is not None
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("_own_logs")
def test_an_embedder_who_configured_structlog_has_it_there(capsys: pytest.CaptureFixture[str]) -> None:
    structlog.configure(processors=[structlog.processors.JSONRenderer()])
    get_logger("trio_router.test").warning("words", value=1)
    assert capsys.readouterr().out == '{"value": 1, "event": "words"}\n'
