"""Confidence intervals of figures that are made of sums: a percentile bootstrap over groups.

Photos of one sender (or instances of one photo) resemble each other, so whole groups are drawn, never single
instances; else the interval is too narrow. Efron & Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

import numpy as np

from ..datasets.errors import InputError

# A chunk of draws (draws x groups) stays under about 32 MB.
_CHUNK_CELLS = 4_000_000

Statistic = Callable[[np.ndarray], dict[str, np.ndarray]]
"""Column sums float64 (b, k) of b draws -> {name of a figure: float64 (b,)}, NaN where there is nothing to measure."""


def bootstrap(
    groups: Sequence[Hashable],
    parts: Mapping[str, tuple[np.ndarray, Statistic]],
    *,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, tuple[float, float]]:
    """{"<part>/<figure>": (low, high)}, all from the same draws.

    groups: the group of each of n instances. parts: a table float64 (n, k), one row per instance, and the statistic
    that makes figures of its column sums. Draws where a figure is NaN are left out; (NaN, NaN) where fewer than two
    groups hold anything: nothing is known of the spread. Deterministic by ``seed``. Raises InputError for fewer than 1
    resample or a level outside (0, 1).
    """
    if resamples < 1 or not 0 < level < 1:
        raise InputError(f"bootstrap: {resamples} resamples at level {level}; expected at least 1, and 0 < level < 1.")
    group, count = group_numbers(groups)
    sums = {name: _sums(table, group, count) for name, (table, _) in parts.items()}
    figures: dict[tuple[str, str], list[np.ndarray]] = {}
    for drawn in draws(count, resamples, seed):
        for part, (_, statistic) in parts.items():
            for name, values in statistic(drawn @ sums[part]).items():
                figures.setdefault((part, name), []).append(values)
    filled = {part: int((one != 0).any(axis=1).sum()) for part, one in sums.items()}
    return {
        f"{part}/{name}": percentiles(np.concatenate(chunks), level, filled[part])
        for (part, name), chunks in figures.items()
    }


def group_numbers(groups: Sequence[Hashable]) -> tuple[np.ndarray, int]:
    """The groups numbered from 0 by first appearance: int64 (n,) of n instances, and how many there are."""
    index: dict[Hashable, int] = {}
    return np.array([index.setdefault(one, len(index)) for one in groups], np.int64), len(index)


def _sums(table: np.ndarray, group: np.ndarray, groups: int) -> np.ndarray:
    sums = np.zeros((groups, table.shape[1]))
    np.add.at(sums, group, table)
    return sums


def draws(groups: int, resamples: int, seed: int, *, cells: int | None = None) -> Iterator[np.ndarray]:
    """How often each group is drawn, float64 (b, groups), in chunks; ``cells``: how many numbers a draw costs the caller
    (by default ``groups``). The draws are the same however they are cut into chunks."""
    if not groups:
        return
    random = np.random.default_rng(seed)
    step = max(1, _CHUNK_CELLS // (cells or groups))
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        yield random.multinomial(groups, np.full(groups, 1 / groups), size=size).astype(np.float64)


def percentiles(values: np.ndarray, level: float, filled_groups: int) -> tuple[float, float]:
    """The interval of draws float64 (b,), NaN ones left out; (NaN, NaN) for fewer than two groups that hold anything."""
    tail = 100 * (1 - level) / 2
    values = values[np.isfinite(values)]
    if filled_groups < 2 or not len(values):
        return (float("nan"), float("nan"))
    low, high = np.percentile(values, [tail, 100 - tail])
    return (float(low), float(high))


def interval_keys(intervals: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    """``<key>/ci95_low`` and ``<key>/ci95_high``."""
    ends = ("ci95_low", "ci95_high")
    return {f"{key}/{end}": value for key, pair_ in intervals.items() for end, value in zip(ends, pair_, strict=True)}
