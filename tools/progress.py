"""Progress of a long run: a bar with rate and time left in a terminal, a plain line every few seconds elsewhere."""

import sys
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.text import Text


class _Rate(ProgressColumn):
    def __init__(self, unit: str):
        super().__init__()
        self._unit = unit

    def render(self, task) -> Text:
        return Text(f"{task.speed:.1f} {self._unit}/s" if task.speed else f"- {self._unit}/s")


class Progress:
    """Counts photos, or what ``unit`` says, on stderr. Use as a context manager; call `advance` as they are done, from
    any one thread."""

    def __init__(self, total: int, *, what: str = "extract", unit: str = "photos", every_s: float = 5.0, stream=None):
        self._unit, self._rate_unit = unit, "images" if unit == "photos" else unit
        self._total, self._what, self._every_s = total, what, every_s
        self._stream = sys.stderr if stream is None else stream
        self._done = self._failed = 0
        self._bar: RichProgress | None = None

    def __enter__(self) -> "Progress":
        self._start = self._said = time.monotonic()
        if self._total and self._stream.isatty():
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(self._rate_unit))
            self._bar = RichProgress(
                *columns,
                TimeRemainingColumn(compact=True, elapsed_when_finished=True),
                TextColumn("{task.fields[note]}", style="red"),
                console=Console(file=self._stream),
                speed_estimate_period=20,
            )
            self._task = self._bar.add_task(self._what, total=self._total, note="")
            self._bar.start()
        return self

    def advance(self, done: int, failed: int = 0) -> None:
        """`done` more photos, `failed` of them without a result."""
        self._done += done
        self._failed += failed
        if self._bar is not None:
            note = f"{self._failed} failed" if self._failed else ""
            self._bar.update(self._task, advance=done, note=note)
        elif time.monotonic() - self._said >= self._every_s:
            self._say()

    def _say(self) -> None:
        self._said = time.monotonic()
        rate = self._done / max(self._said - self._start, 1e-6)
        left_s = (self._total - self._done) / rate if rate else 0.0
        failed = f", {self._failed} failed" if self._failed else ""
        counted = f"{self._done}/{self._total} {self._unit}, {rate:.1f} {self._rate_unit}/s"
        print(f"{self._what}: {counted}, {_clock(left_s)} left{failed}", file=self._stream, flush=True)

    def __exit__(self, *exc_info: object) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif self._done:
            self._say()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
