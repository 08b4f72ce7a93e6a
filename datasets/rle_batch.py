"""Compressed RLE counts of many masks at once: are they sound, and how large is each mask?

One mask at a time numpy's calls cost more than its work (some 25 us a mask); here a thousand masks share each call.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

_CHUNK_CHARS = 60_000  # so many characters at a time: what numpy makes of them stays in the cache
_LONGEST = 8  # characters of a run; 7 hold 2**31 pixels


def compressed_areas(counts: Sequence[str], pixels: np.ndarray) -> np.ndarray:
    """Area int64 (n,), px, of n masks by their compressed counts, -1 where these are not sound.

    Sound is what ``masks.counts`` accepts: complete characters of the compressed form, no negative run, and runs that
    add up to ``pixels`` (int64 (n,), height x width).
    """
    if not len(counts):
        return np.zeros(0, np.int64)
    pixels = np.asarray(pixels, np.int64)
    lengths = np.fromiter(map(len, counts), np.int64, len(counts))
    stops = (np.flatnonzero(np.diff(np.cumsum(lengths) // _CHUNK_CHARS)) + 1).tolist()
    # One thread: a second one would mostly wait for the interpreter's lock.
    spans = [slice(*span) for span in pairwise([0, *stops, len(counts)])]
    return np.concatenate([_areas(counts[span], lengths[span], pixels[span]) for span in spans])


def _areas(counts: Sequence[str], lengths: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    # A run of "0" behind every mask: so each has two runs at least, one in either column (see _runs).
    text = "0".join([*counts, ""])
    digits = np.frombuffer(text.encode("ascii", "replace"), np.uint8) - np.uint8(48)  # below "0" wraps to above 63
    stop = np.cumsum(lengths + 1)
    sound = digits.max() < 64 and (lengths > 0).all() and (digits[stop - 2] < 32).all()
    ends = np.flatnonzero(digits < 32)  # the last character of every run
    values = _values(digits, ends) if sound else None
    if values is None:  # some text is not of the compressed form at all: alone it spoils only its own
        if len(counts) == 1:
            return np.full(1, -1, np.int64)
        each = (slice(i, i + 1) for i in range(len(counts)))
        return np.concatenate([_areas(counts[one], lengths[one], pixels[one]) for one in each])
    return _sums(values, np.searchsorted(ends, stop - lengths - 1), pixels)


def _values(digits: np.ndarray, ends: np.ndarray) -> np.ndarray | None:
    """Stored numbers int64 (k,), differences not yet added up: 5 bits a character, low first, sign in the last. None
    where one is longer than any image."""
    values = (((digits[ends] & 31) ^ 16).view(np.int8) - 16).astype(np.int64)
    more = np.flatnonzero(np.diff(ends, prepend=-1) > 1)  # those with a character before the last
    for back in range(1, _LONGEST):
        if not len(more):
            return values
        before = ends[more] - back
        values[more] = (values[more] << 5) | (digits[before] & 31)
        more = more[digits[before - 1] > 31]
    return None if len(more) else values


def _sums(values: np.ndarray, first: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Areas from stored numbers: from its fourth run on a mask stores the difference to the run two before.

    So runs are cumulative sums over every other number, begun anew at every mask (``first``: where in ``values``): there
    the sums of the mask before are taken off. The last run of every mask is the added one and counts for nothing.
    """
    head = values[first]  # the first run is no one's base
    values[first] = 0
    last = np.append(first[1:], len(values)) - 1
    columns, begins = (values[0::2], values[1::2]), ((first + 1) // 2, first // 2)
    for column, begin in zip(columns, begins, strict=True):
        column[begin[1:]] -= np.add.reduceat(column, begin)[:-1]
        np.cumsum(column, out=column)
    values[last] = 0
    low = np.zeros(len(first), np.int64) if values.min() >= 0 else np.minimum.reduceat(values, first)
    sums = [np.add.reduceat(column, begin) for column, begin in zip(columns, begins, strict=True)]
    area = np.where(first % 2, sums[0], sums[1])
    return np.where((head < 0) | (low < 0) | (head + sums[0] + sums[1] != pixels), -1, area)
