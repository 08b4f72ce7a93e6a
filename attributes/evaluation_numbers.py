"""Metrics of number attributes: mean absolute error, root of the mean square, R2."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .evaluation_labels import same_length

_NO_SPREAD = 1e-12


@dataclass(frozen=True)
class NumberMetrics:
    """A number attribute over ``support`` instances with a known truth.

    mae, rmse: over the ``answered`` ones, in the attribute's unit; NaN without any. r2: coefficient of determination
    over the same, 1 - squared error / squared deviation of the truth from its mean: 1 is perfect, 0 no better than
    always saying that mean; NaN where the truth does not vary.
    """

    support: int
    answered: int
    mae: float
    rmse: float
    r2: float

    def flat(self) -> dict[str, float]:
        """``mae``, ``rmse``, ``r2``, ``support``, ``answered``."""
        found = {"mae": self.mae, "rmse": self.rmse, "r2": self.r2}
        return found | {"support": self.support, "answered": self.answered}


def number_metrics(truth: Sequence[float | None], pred: Sequence[float | None]) -> NumberMetrics:
    """Metrics of a number attribute. truth: n numbers, None or NaN = unknown. Raises InputError for different lengths."""
    return number_results(number_table(truth, pred).sum(axis=0))


def number_table(truth: Sequence[float | None], pred: Sequence[float | None]) -> np.ndarray:
    """One row per instance, float64 (n, 6), whose sums make all figures (``number_statistics``): known, answered,
    absolute error, squared error, truth and squared truth of the answered.

    The truth is counted from its own mean: R2 does not mind, and the sum of squares keeps its digits. So the sums of
    two tables do not add up; make one table of all instances.
    """
    same_length(truth, pred)
    a, b = (np.array([math.nan if one is None else one for one in column], np.float64) for column in (truth, pred))
    known, answered = ~np.isnan(a), ~np.isnan(a) & ~np.isnan(b)
    error = np.where(answered, a - b, 0.0)
    centred = np.where(answered, a - (a[answered].mean() if answered.any() else 0.0), 0.0)
    return np.column_stack([known, answered, np.abs(error), error**2, centred, centred**2]).astype(np.float64)


def number_statistics(sums: np.ndarray) -> dict[str, np.ndarray]:
    """mae, rmse, r2 of column sums float64 (..., 6): arrays (...), NaN where undefined."""
    answered, absolute, squared, total, total_squared = (sums[..., i] for i in range(1, 6))
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = total_squared - total**2 / answered
        # A draw of one instance again and again leaves a spread of rounding errors, not of the truth.
        spread = np.where(spread > _NO_SPREAD * total_squared, spread, np.nan)
        return {"mae": absolute / answered, "rmse": np.sqrt(squared / answered), "r2": 1 - squared / spread}


def number_results(sums: np.ndarray) -> NumberMetrics:
    """The figures of column sums (6,) of ``number_table``."""
    figures = {name: float(value) for name, value in number_statistics(sums).items()}
    return NumberMetrics(int(sums[0]), int(sums[1]), **figures)
