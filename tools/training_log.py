"""What a training run shows and keeps: a progress bar, log.csv, TensorBoard."""

import csv
import sys
import time
from pathlib import Path
from types import TracebackType

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_PLAIN_EVERY_S = 30.0  # between lines where the output is no terminal


class TrainingLog:
    """Progress by step with the rate and the time left, figures by epoch to ``log.csv`` and TensorBoard."""

    def __init__(self, out: Path, epochs: int, steps: int, first: int, *, enabled: bool):
        self.out, self.epochs, self.steps, self.first, self.enabled = out, epochs, steps, first, enabled
        self.console = Console(stderr=True)
        self.sums: dict[str, float] = {}

    def __enter__(self) -> "TrainingLog":
        if not self.enabled:
            return self
        from torch.utils.tensorboard import SummaryWriter  # slow to import

        self.out.mkdir(parents=True, exist_ok=True)
        self.board = SummaryWriter(str(self.out / "tensorboard"))
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        self.progress = Progress(*columns, console=self.console, disable=not sys.stderr.isatty())
        self.progress.start()
        total = self.epochs * self.steps
        self.bar = self.progress.add_task("training", total=total, completed=self.first * self.steps, rate="")
        self.began = self.said = time.monotonic()
        self.done = 0
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.enabled:
            self.progress.stop()
            self.board.close()

    def step(self, epoch: int, step: int, losses: dict[str, torch.Tensor], lr: float) -> None:
        if not self.enabled:
            return
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(value.detach())
        self.lr = lr
        self.done += 1
        now = time.monotonic()
        rate = self.done / (now - self.began)
        self.progress.update(
            self.bar, advance=1, description=f"epoch {epoch + 1}/{self.epochs}", rate=f"{rate:.2f} batches/s"
        )
        if self.progress.disable and now - self.said >= _PLAIN_EVERY_S:
            self.said = now
            left = (self.epochs * self.steps - epoch * self.steps - step - 1) / rate
            print(
                f"epoch {epoch + 1}/{self.epochs} batch {step + 1}/{self.steps} {rate:.2f} batches/s, "
                f"{left / 60:.1f} min left",
                file=sys.stderr,
                flush=True,
            )

    def epoch(self, epoch: int, metrics: dict[str, float]) -> None:
        """Keep the mean losses since the last call and the figures of the evaluation."""
        if not self.enabled:
            return
        count = max(1, self._since_last())
        row = {"epoch": epoch + 1, "lr": self.lr}
        row |= {f"train/{name}": total / count for name, total in self.sums.items()}
        row |= {f"val/{name}": value for name, value in metrics.items()}
        self.sums = {}
        for name, value in row.items():
            self.board.add_scalar(name, value, epoch + 1)
        self._append(row)
        self.console.print(
            f"epoch {epoch + 1}: loss {row.get('train/loss', float('nan')):.4f}  "
            + "  ".join(f"{name} {value:.4f}" for name, value in metrics.items()),
            highlight=False,
        )

    def _since_last(self) -> int:
        count = self.done - getattr(self, "counted", 0)
        self.counted = self.done
        return count

    def _append(self, row: dict[str, float]) -> None:
        path = self.out / "log.csv"
        fresh = self.first == 0 and not getattr(self, "opened", False)
        self.opened = True
        with open(path, "w" if fresh or not path.exists() else "a", newline="") as handle:
            writer = csv.DictWriter(handle, list(row))
            if handle.tell() == 0:
                writer.writeheader()
            writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
