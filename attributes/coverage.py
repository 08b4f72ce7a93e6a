"""Coverage at a chosen precision: how many products can be filled in without a person looking, most confident first.

Selective classification (El-Yaniv & Wiener 2010, "On the Foundations of Noise-free Selective Classification", JMLR):
answers are accepted from a threshold of confidence on; coverage is the share accepted, precision the share of those
that is right.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..datasets.errors import InputError
from ..seg.bootstrap import draws, group_numbers, percentiles

PRECISION = 0.95
_CELLS = 1_000_000  # of the bootstrap's tables, groups x thresholds: 16 MB
_FEWEST_STEPS = 50
_LEFT_OUT_PARTS = 50


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

    def at(self, precision: float = PRECISION, *, fewest: int = 1) -> Coverage:
        """The most that can be accepted with at least this precision, nothing where those are less than ``fewest``: of a
        few answers all may be right by chance. Raises InputError for a precision outside (0, 1]."""
        check_precision(precision)
        reached = np.flatnonzero((self.precision >= precision) & (self.accepted >= fewest))
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


def left_out_coverage(
    confidence: np.ndarray,
    right: np.ndarray,
    groups: Sequence[Hashable],
    *,
    precision: float = PRECISION,
    fewest: int = 1,
) -> Coverage:
    """What thresholds chosen as `CoverageCurve.at` does are worth on groups that had no part in the choice.

    Each group (of many groups: each fiftieth part of them) is left out in turn and its answers accepted by the threshold
    that the others choose. confidence, right: (n,) as `coverage_curve` takes them. groups: the group of each of the n.
    The counts are over all n; threshold is NaN, there being many.
    """
    confidence, right = np.asarray(confidence, np.float64), np.asarray(right, bool)
    group, count = group_numbers(groups)
    part = group % min(max(count, 1), _LEFT_OUT_PARTS)
    accepted = np.zeros(len(confidence), bool)
    for one in np.unique(part):
        own = part == one
        threshold = coverage_curve(confidence[~own], right[~own]).at(precision, fewest=fewest).threshold
        accepted[own] = confidence[own] >= threshold  # False where either is NaN
    taken, hits, total, nan = int(accepted.sum()), int(right[accepted].sum()), len(confidence), float("nan")
    return Coverage(precision, taken / total if total else nan, nan, hits / taken if taken else nan, taken, hits, total)


def coverage_intervals(
    groups: Sequence[Hashable],
    parts: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]],
    *,
    precision: float = PRECISION,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, tuple[float, float]]:
    """Bootstrap intervals of the share that can be accepted at ``precision``; the threshold is chosen anew in every draw.

    groups: the group of each of n instances, drawn whole; the draws are those of ``bootstrap``. parts: by name,
    confidence float (k,), right bool (k,) as `coverage_curve` takes them and row int64 (k,), which of the n instances
    they are. (NaN, NaN) for fewer than two groups. Of very many groups and confidences only a few dozen thresholds,
    spread evenly, are tried: memory stays bounded.
    """
    check_precision(precision)
    group, count = group_numbers(groups)
    steps = {name: _steps(*part[:2], group[part[2]], count) for name, part in parts.items()}
    shares: dict[str, list[np.ndarray]] = {name: [] for name in parts}
    for drawn in draws(count, resamples, seed):
        for name, (accepted, right, sizes) in steps.items():
            shares[name].append(_best_share(drawn @ accepted, drawn @ right, drawn @ sizes, precision))
    return {
        name: percentiles(np.concatenate(found) if found else np.zeros(0), level, int((steps[name][2] > 0).sum()))
        for name, found in shares.items()
    }


def _steps(
    confidence: np.ndarray, right: np.ndarray, group: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What every threshold accepts of every group, and how much of that is right: float64 (groups, thresholds) each;
    and the groups' sizes (groups,)."""
    order, ends = _ranked(confidence, right)
    most = max(_FEWEST_STEPS, _CELLS // max(count, 1))
    if len(ends) > most:
        ends = ends[np.linspace(0, len(ends) - 1, most).round().astype(np.int64)]
    steps = np.zeros((2, count, len(ends)))
    cell = group[order], np.searchsorted(ends, np.arange(len(order)))
    np.add.at(steps[0], cell, 1.0)
    np.add.at(steps[1], cell, np.asarray(right, np.float64)[order])
    accepted, hits = steps.cumsum(axis=2)
    return accepted, hits, np.bincount(group, minlength=count).astype(np.float64)


def _best_share(accepted: np.ndarray, right: np.ndarray, total: np.ndarray, precision: float) -> np.ndarray:
    """Of b draws: accepted, right float64 (b, thresholds), total (b,) -> the share accepted, float64 (b,)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        reached = right / accepted >= precision  # 0 / 0: nothing accepted, nothing reached
        return np.where(reached, accepted, 0).max(axis=1, initial=0) / total


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
