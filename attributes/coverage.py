"""Coverage at a chosen precision: how many products can be filled in without a person looking, most confident first.

Selective classification (El-Yaniv & Wiener 2010, "On the Foundations of Noise-free Selective Classification", JMLR):
answers are accepted from a threshold of confidence on; coverage is the share accepted, precision the share of those
that is right.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from ..datasets.errors import InputError
from ..seg.bootstrap import draws, group_numbers, percentiles

PRECISION = 0.95


@dataclass(frozen=True)
class Coverage:
    """What can be accepted at ``target`` precision.

    share: accepted / all, 0..1; 0 where no threshold reaches the target, NaN where there is nothing to fill in.
    threshold: accept answers whose confidence is at least this; NaN where none is accepted. precision: of the accepted
    ones, NaN without any. accepted, right, total: counts.

    The threshold is the best one on these very instances; on new ones the precision will be somewhat lower, the more so
    the fewer instances there are.
    """

    target: float
    share: float
    threshold: float
    precision: float
    accepted: int
    right: int
    total: int


@dataclass(frozen=True)
class CoverageCurve:
    """Every threshold there is, falling: float64 (m,) each, one point a distinct confidence.

    threshold: accept from this confidence on. accepted, right: how many answers that accepts and how many of them are
    right. total: instances in all, those without an answer too.
    """

    threshold: np.ndarray
    accepted: np.ndarray
    right: np.ndarray
    total: int

    @property
    def coverage(self) -> np.ndarray:
        """accepted / total, float64 (m,), rising."""
        return self.accepted / max(self.total, 1)

    @property
    def precision(self) -> np.ndarray:
        """right / accepted, float64 (m,)."""
        return self.right / self.accepted

    def at(self, precision: float = PRECISION) -> Coverage:
        """The most that can be accepted with at least this precision. Raises InputError for one outside (0, 1]."""
        check_precision(precision)
        reached = np.flatnonzero(self.precision >= precision)
        nan = float("nan")
        if not len(reached):
            return Coverage(precision, 0.0 if self.total else nan, nan, nan, 0, 0, self.total)
        i = reached[-1]
        accepted, right = int(self.accepted[i]), int(self.right[i])
        return Coverage(
            precision, accepted / self.total, float(self.threshold[i]), right / accepted, accepted, right, self.total
        )


def check_precision(precision: float) -> None:
    """Raises InputError for a precision outside (0, 1]."""
    if not 0 < precision <= 1:
        raise InputError(f"precision {precision}: expected above 0, at most 1.")


def coverage_curve(confidence: np.ndarray, right: np.ndarray) -> CoverageCurve:
    """confidence: float (n,), NaN = no answer: never accepted, but one of the total. right: bool (n,).

    Answers of equal confidence are accepted together. Raises InputError for shapes that do not fit.
    """
    order, ends = _ranked(confidence, right)
    hits = np.cumsum(np.asarray(right, np.float64)[order])
    return CoverageCurve(np.asarray(confidence, np.float64)[order][ends], ends + 1.0, hits[ends], len(confidence))


def coverage_interval(
    confidence: np.ndarray,
    right: np.ndarray,
    groups: Sequence[Hashable],
    *,
    precision: float = PRECISION,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, float]:
    """Bootstrap interval of the share that `coverage_curve` accepts at ``precision``; the threshold is chosen anew in
    every draw. groups: of each of the n instances, drawn whole. (NaN, NaN) for fewer than two groups."""
    check_precision(precision)
    group, count = group_numbers(groups)
    order, ends = _ranked(confidence, right)
    right = np.asarray(right, np.float64)[order]
    sizes = np.bincount(group, minlength=count).astype(np.float64)
    shares = []
    for drawn in draws(count, resamples, seed, cells=max(len(confidence), count)):
        weight = drawn[:, group[order]]
        accepted = np.cumsum(weight, axis=1)[:, ends]
        hits = np.cumsum(weight * right, axis=1)[:, ends]
        with np.errstate(divide="ignore", invalid="ignore"):
            reached = hits / accepted >= precision  # 0 / 0: nothing accepted, nothing reached
            shares.append(np.where(reached, accepted, 0).max(axis=1, initial=0) / (drawn @ sizes))
    return percentiles(np.concatenate(shares) if shares else np.zeros(0), level, count)


def _ranked(confidence: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows with an answer, most confident first, and the last place of every run of equal confidence: int64 each."""
    confidence = np.asarray(confidence, np.float64)
    if confidence.ndim != 1 or confidence.shape != np.shape(right):
        raise InputError(f"coverage: confidence {confidence.shape}, right {np.shape(right)}; expected both (n,).")
    answered = np.flatnonzero(~np.isnan(confidence))
    order = answered[np.argsort(-confidence[answered], kind="stable")]
    ranked = confidence[order]
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if len(ranked) else np.zeros(0, np.int64)
    return order, ends
