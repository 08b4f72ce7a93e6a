"""Compressed RLE counts of many masks at once: are they sound, and how large is each mask?

One mask at a time numpy's calls cost more than its work (some 25 us a mask); here a thousand masks share each call.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

_CHUNK_CHARS = 60_000  # so many characters at a time: what numpy makes of them stays in the cache
_LONGEST = 8  # characters of a run; 7 hold 2**31 pixels


def compressed_areas(counts: Sequence[str], pixels: np.ndarray) -> np.ndarray:
    """Area int64 (n,), px, of n masks by their compressed counts, -1 where these are not sound.

    Sound is what ``masks.counts`` accepts: complete characters of the compressed form, no negative run, and runs that
    add up to ``pixels`` (int64 (n,), height x width). Two threads share the work: numpy lets go of the lock.
    """
    if not len(counts):
        return np.zeros(0, np.int64)
    pixels = np.asarray(pixels, np.int64)
    lengths = np.fromiter(map(len, counts), np.int64, len(counts))
    stops = np.flatnonzero(np.diff(np.cumsum(lengths) // _CHUNK_CHARS)) + 1
    spans = list(zip([0, *stops.tolist()], [*stops.tolist(), len(counts)], strict=True))

    def work(span: tuple[int, int]) -> np.ndarray:
        some = slice(*span)
        return _areas(counts[some], lengths[some], pixels[some])

    if len(spans) == 1:
        return work(spans[0])
    with ThreadPoolExecutor(2) as pool:
        return np.concatenate(list(pool.map(work, spans)))


def _areas(counts: Sequence[str], lengths: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    text = "".join(counts)
    digits = np.frombuffer(text.encode("ascii", "replace"), np.uint8) - np.uint8(48)  # below "0" wraps to above 63
    stop = np.cumsum(lengths)
    sound = lengths > 0
    closed = np.ones(len(counts), bool)
    closed[sound] = digits[stop[sound] - 1] < 32
    if digits.max(initial=0) > 63 or not (sound & closed).all():
        return _one_by_one(counts, lengths, pixels)
    ends = np.flatnonzero(digits < 32)  # the last character of every run
    length = np.empty_like(ends)
    length[0] = ends[0] + 1
    np.subtract(ends[1:], ends[:-1], out=length[1:])
    if length.max() > _LONGEST:
        return _one_by_one(counts, lengths, pixels)
    first = np.searchsorted(ends, stop - lengths)  # run index of every mask's first run
    return _sums(_values(digits, ends, length), first, np.diff(first, append=len(ends)), pixels)


def _one_by_one(counts: Sequence[str], lengths: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Some text is not of the compressed form at all: find out whose, alone it spoils only its own."""
    if len(counts) == 1:
        return np.full(1, -1, np.int64)
    return np.concatenate(
        [_areas(counts[i : i + 1], lengths[i : i + 1], pixels[i : i + 1]) for i in range(len(counts))]
    )


def _values(digits: np.ndarray, ends: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Stored numbers int64 (k,), differences not yet added up: 5 bits a character, low first, sign in the last."""
    values = (((digits[ends] & 31) ^ 16).view(np.int8) - 16).astype(np.int64)
    more = np.flatnonzero(length > 1)
    back = 1
    while len(more):
        values[more] = (values[more] << 5) | (digits[ends[more] - back] & 31)
        back += 1
        more = more[length[more] > back]
    return values


def _sums(values: np.ndarray, first: np.ndarray, count: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """From the fourth run on a stored number is the difference to the run two before. Two columns (runs of zeros, runs
    of ones), every mask starting a row of its own, make that one cumulative sum down the rows."""
    rows = (count + 1) // 2
    top = np.cumsum(rows) - rows
    odd = np.flatnonzero(count & 1)
    last = top[odd] + rows[odd] - 1
    filled = np.ones((int(rows.sum()), 2), bool)
    filled[last, 1] = False
    grid = np.zeros(filled.shape, np.int64)
    grid[filled] = values
    head = grid[top, 0]  # the first run is no one's base
    grid[top, 0] = 0
    runs = np.cumsum(grid, axis=0)
    runs -= np.repeat(runs[top] - grid[top], rows, axis=0)
    runs[last, 1] = 0  # a place without a run
    zeros, ones = np.add.reduceat(runs, top, axis=0).T
    negative = head < 0
    if runs.min() < 0:
        negative |= np.minimum.reduceat(runs.min(axis=1), top) < 0
    return np.where(negative | (head + zeros + ones != pixels), -1, ones)
