"""The body of `trio-router demo --once`: watch three segments through a running router and check them, without a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from trio_router.demo.segment import DemoDependencyError
from trio_router.demo.viewer import watch

try:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.table import Table
except ImportError as error:
    raise DemoDependencyError("rich") from error

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from trio_router.demo.messages import Message
    from trio_router.demo.summary import Summary

PROMPTS = ("a lighthouse in a storm", "the storm calms down", "sunrise over the quiet sea")


async def run_once(
    url: str,
    out_path: Path,
    *,
    prompts: Sequence[str] = PROMPTS,
    timeout_seconds: float = 120.0,
    console: Console | None = None,
) -> int:
    """Watch `prompts` at `url`, print a summary, and return the exit status: 0 when everything is right, else 1."""
    console = console or Console()
    with _progress(console) as progress, trio.move_on_after(timeout_seconds):
        events = _ProgressEvents(progress, len(prompts))
        summary = await watch(url, prompts, out_path=out_path, on_event=events)
        progress.stop()
        _print_summary(console, summary)
        return await _verdict(console, summary, len(prompts))
    console.print(f"FAILED: no result within {timeout_seconds:g} s", style="bold red")
    return 1


def _progress(console: Console) -> Progress:
    """A progress bar on a terminal; nothing in a pipe or a log."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


class _ProgressEvents:
    """Turns a session's messages into a bar that counts denoising steps of all segments."""

    def __init__(self, progress: Progress, segments: int) -> None:
        self._progress = progress
        self._segments = segments
        self._task = progress.add_task("connecting", total=None)

    def __call__(self, message: Message) -> None:
        match message:
            case {"type": "ltx2_segment_start", "total_steps": int(steps), "segment_idx": int(index)}:
                text = f"segment {index + 1} of {self._segments}"
                self._progress.update(self._task, description=text, total=steps * self._segments)
            case {"type": "step_complete"}:
                self._progress.advance(self._task)


def _print_summary(console: Console, summary: Summary) -> None:
    if not summary.segments:
        return
    table = Table(title=f"one session, served by {summary.replica or 'an unnamed replica'}")
    for heading in ("segment", "prompt", "steps", "first media", "complete", "chunks", "KiB"):
        table.add_column(heading, justify="left" if heading == "prompt" else "right")
    for segment in summary.segments:
        table.add_row(
            str(segment.segment_idx + 1),
            segment.prompt,
            str(segment.steps),
            f"{segment.first_media_seconds:.2f} s",
            f"{segment.complete_seconds:.2f} s",
            str(segment.chunks),
            f"{segment.bytes / 1024:.0f}",
        )
    console.print(table)


async def _verdict(console: Console, summary: Summary, wanted: int) -> int:
    problem = _problem(summary, wanted) or await _undecodable(summary)
    if problem:
        console.print(f"FAILED: {problem}", style="bold red", soft_wrap=True, markup=False, highlight=False)
        return 1
    text = f"OK: {summary.frames} frames in {summary.out_path}, closed with {summary.close_code}"
    console.print(text, style="bold green", soft_wrap=True, markup=False, highlight=False)
    return 0


def _problem(summary: Summary, wanted: int) -> str | None:
    """What is wrong with the session, in one line; None when it is as it should be."""
    if summary.ended != "finished":
        code = f", close code {summary.close_code}" if summary.close_code else ""
        return f"the session ended as {summary.ended}: {summary.error or 'no error frame'}{code}"
    if len(summary.segments) != wanted:
        return f"{len(summary.segments)} of {wanted} segments arrived"
    if summary.frames != summary.expected_frames:
        return f"{summary.frames} frames arrived, the replica promised {summary.expected_frames}"
    if summary.close_code != 1000:
        return f"closed with {summary.close_code}, not 1000"
    return None


async def _undecodable(summary: Summary) -> str | None:
    from trio_router.demo.video import count_frames

    if summary.out_path is None:
        return "nothing was written"
    decoded = await trio.to_thread.run_sync(count_frames, summary.out_path)
    return None if decoded == summary.frames else f"{decoded} of {summary.frames} frames can be decoded"
