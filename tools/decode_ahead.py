"""Photos decoded in threads ahead of the model, handed out in order, a bounded number of pixels waiting."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Condition

import numpy as np

from ..datasets.images import load_rgb


def available_cores() -> int:
    """Cores this process may use (a container's share, where the system tells it)."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1


class DecodeAhead:
    """Iterate over (path, uint8 (h, w, 3) RGB | Exception) in the order of `paths`.

    ahead: photos decoded or being decoded beyond the one handed out. budget_px: once so many pixels wait, decoding
    pauses (a photo of 100 megapixels is 300 MB), at most one photo a thread above it. load: path -> array.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        ahead: int = 32,
        budget_px: int = 64_000_000,
        threads: int | None = None,
        load: Callable[[Path], np.ndarray] = load_rgb,
    ):
        self._paths, self._load = paths, load
        self._ahead, self._budget_px = ahead, budget_px
        self._threads = threads or min(16, available_cores())
        self._change = Condition()
        self._waiting_px = 0
        self._next = (
            0  # index the reader wants now: always admitted, else reader and decoders would wait for each other
        )
        self._closed = False

    def _decode(self, index: int) -> np.ndarray | Exception:
        with self._change:
            self._change.wait_for(lambda: self._waiting_px < self._budget_px or index <= self._next or self._closed)
        try:
            rgb = self._load(self._paths[index])
        except Exception as error:  # one photo's trouble, whatever it is, is its own line in errors.jsonl
            return error
        with self._change:
            self._waiting_px += rgb.shape[0] * rgb.shape[1]
        return rgb

    def __iter__(self) -> Iterator[tuple[Path, np.ndarray | Exception]]:
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="decode")
        pending: deque[Future] = deque()
        submitted = 0
        try:
            for index, path in enumerate(self._paths):
                while submitted < len(self._paths) and len(pending) <= self._ahead:
                    pending.append(pool.submit(self._decode, submitted))
                    submitted += 1
                with self._change:
                    self._next = index
                    self._change.notify_all()
                decoded = pending.popleft().result()
                if isinstance(decoded, np.ndarray):
                    with self._change:
                        self._waiting_px -= decoded.shape[0] * decoded.shape[1]
                        self._change.notify_all()
                yield path, decoded
        finally:
            with self._change:
                self._closed = True
                self._change.notify_all()
            pool.shutdown(wait=True, cancel_futures=True)
