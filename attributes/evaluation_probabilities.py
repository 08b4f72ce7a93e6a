"""What predicted probabilities are worth: average precision, top-k accuracy, calibration, coverage at a precision.

Everything is made of one row per instance, kept in a `ProbabilityTable`; tables of batches and processes are
concatenated. An unknown truth never counts; an instance without probabilities counts as not answered: never retrieved,
never among the top k, never accepted.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import chain
from typing import Any

import numpy as np

from ..datasets.errors import InputError
from ..datasets.schema import shown
from .calibration import BINS, reliability
from .coverage import PRECISION, Coverage, CoverageCurve, check_precision, coverage_curve
from .label_arrays import Labels, first, one_hot, true_one_hot

TOP_K = (2, 3)
PRESENT = 0.5  # presence probability from which a value of a multi attribute is answered, where no answer is given
_NUMBERS = frozenset((float, int))
_ROUNDING = 1e-6  # probabilities that a float32 softmax or a rounded file brings slightly above 1

Probabilities = Mapping[str, float]
"""{value: probability}: of a single attribute over its values, of a multi one that the value is present."""


@dataclass(frozen=True)
class ProbabilityTable:
    """n instances with known truth, V values.

    true, answer: bool (n, V), the values that are true and those that were answered. prob: float64 (n, V), a row of NaN
    where there are no probabilities. rank: float64 (n,), how many values are likelier than the true first one (0: it is
    the likeliest), inf without probabilities, NaN where no value is true. confidence: float64 (n,), of the answer, NaN
    without one; right: bool (n,). first_confidence, first_right: of a multi attribute's first value alone.

    The answer of a multi attribute is its set. Its confidence is the probability of exactly that set if presences were
    independent: the product of p over the values answered and 1 - p over the others. That of the first value is its p
    times 1 - the highest p of another: a presence alone does not say which of two present values comes first.
    """

    true: np.ndarray
    answer: np.ndarray
    prob: np.ndarray
    rank: np.ndarray
    confidence: np.ndarray
    right: np.ndarray
    first_confidence: np.ndarray
    first_right: np.ndarray

    def __len__(self) -> int:
        return len(self.true)

    def select(self, rows: np.ndarray) -> "ProbabilityTable":
        """The table of some rows (int or bool index)."""
        return ProbabilityTable(**{one.name: getattr(self, one.name)[rows] for one in fields(self)})

    @staticmethod
    def concat(tables: Sequence["ProbabilityTable"]) -> "ProbabilityTable":
        """At least one table, of the same values, one below the other."""
        names = [one.name for one in fields(ProbabilityTable)]
        return ProbabilityTable(**{name: np.concatenate([getattr(one, name) for one in tables]) for name in names})


@dataclass(frozen=True)
class ValueProbability:
    """One value against all others.

    ap: average precision of its probability; NaN where nothing is true. coverage: how many of the answers that name the
    value can be accepted by its own threshold. recall: share of the true ones that this fills in rightly.
    """

    ap: float
    coverage: Coverage
    recall: float


@dataclass(frozen=True)
class ProbabilityMetrics:
    """Of ``support`` instances with a known truth, ``answered`` of them with probabilities; NaN without any.

    macro_ap: mean AP over the values that occur in the truth. top_k: k -> share whose true value (of a multi attribute
    the first) is among the k likeliest, for k below the number of values. ece, reliability: expected calibration error
    over equal-width bins and the bins, float64 (bins, 3): mean confidence, share right, count; ece_adaptive: over bins
    of equal count (`adaptive_calibration_error`). They judge the probability of the answer; of a multi attribute the
    presence probabilities of all values. coverage: how many instances can be filled in automatically (of a multi
    attribute with the whole set right); coverage_first: with its first value alone, multi only. curve, curve_first: for
    any precision. `ProbabilityTable` says what confidence their thresholds are of.
    """

    support: int
    answered: int
    macro_ap: float
    top_k: dict[int, float]
    ece: float
    ece_adaptive: float
    reliability: np.ndarray
    coverage: Coverage
    coverage_first: Coverage | None
    curve: CoverageCurve
    curve_first: CoverageCurve | None
    per_value: dict[str, ValueProbability]

    def flat(self) -> dict[str, float]:
        """``macro_ap``, ``top2``, ``top3``, ``ece``, ``ece_adaptive``, ``answered``, ``coverage95``,
        ``coverage95_threshold``, ``coverage95_first``, ``value/<value>/ap``, ``value/<value>/coverage95`` ...

        95 is the chosen precision in percent.
        """
        key = f"coverage{100 * self.coverage.target:g}"
        found = {"macro_ap": self.macro_ap} | {f"top{k}": share for k, share in self.top_k.items()}
        found |= {"ece": self.ece, "ece_adaptive": self.ece_adaptive, "answered": self.answered}
        found |= {key: self.coverage.share, f"{key}_threshold": self.coverage.threshold}
        if self.coverage_first is not None:
            found |= {
                f"{key}_first": self.coverage_first.share,
                f"{key}_first_threshold": self.coverage_first.threshold,
            }
        for value, one in self.per_value.items():
            found[f"value/{value}/ap"] = one.ap
            found[f"value/{value}/{key}"] = one.coverage.share
            found[f"value/{value}/{key}_threshold"] = one.coverage.threshold
            found[f"value/{value}/{key}_recall"] = one.recall
        return found


def probability_metrics(
    truth: Sequence[str | Sequence[str] | None],
    probabilities: Sequence[Probabilities | None],
    values: Sequence[str],
    pred: Sequence[str | Sequence[str] | None] | None = None,
    *,
    multi: bool = False,
    precision: float = PRECISION,
    bins: int = BINS,
) -> ProbabilityMetrics:
    """Metrics of one attribute over n instances.

    truth: labels, or ordered lists of a multi attribute; None = unknown. probabilities: a dict per instance, None or
    empty = none; values it lacks have 0. pred: the answers, None = the likeliest value (multi: and those from 0.5 on).
    Raises InputError for lists of different lengths, a truth outside ``values``, and what is no probability.
    """
    given = probability_columns("value", [one and {"value": one} for one in probabilities])
    table = probability_table(_lists(truth), given, values, None if pred is None else _lists(pred), multi=multi)
    return probability_results(table, values, multi=multi, precision=precision, bins=bins)


def _lists(labels: Sequence[str | Sequence[str] | None]) -> list[list[str] | None]:
    return [None if one is None else [one] if isinstance(one, str) else list(one) for one in labels]


def probability_columns(
    name: str, dicts: Sequence[Any], spot: Callable[[int], str] = "instance {}".format
) -> list[Probabilities | None]:
    """The probabilities of one attribute, or of "category", out of n ``probabilities`` objects as predictions.json has
    them: {"category": {name: p}, "color": {value: p}}. None where there are none.

    Raises InputError for what is not an object of numbers from 0 to 1; ``spot`` says where row i is.
    """
    for row, one in enumerate(dicts):
        if one is not None and not isinstance(one, Mapping):
            raise InputError(f"probabilities of {spot(row)} are {shown(one)}; expected an object.")
    return [_checked(one.get(name) if one else None, name, row, spot) for row, one in enumerate(dicts)]


def _checked(given: Any, name: str, row: int, spot: Callable[[int], str]) -> Probabilities | None:
    if not given:
        return None
    if not isinstance(given, Mapping):
        raise InputError(
            f"probabilities.{name} of {spot(row)}: found {shown(given)}; expected an object of values and probabilities."
        )
    numbers = given.values()
    if _NUMBERS.issuperset(map(type, numbers)) and min(numbers) >= 0 and max(numbers) <= 1 and sum(numbers) >= 0:
        return given  # as nearly all are (the sum: NaN hides from min and max)
    for value, p in given.items():
        if isinstance(p, bool) or not isinstance(p, int | float | np.number) or not 0 <= p <= 1 + _ROUNDING:
            raise InputError(f"probabilities.{name} of {spot(row)}: {value} has {p!r}; expected a probability, 0 to 1.")
    return given


def probability_table(
    truth: Sequence[Sequence[str] | None],
    probabilities: Sequence[Probabilities | None],
    values: Sequence[str],
    pred: Sequence[Sequence[str] | None] | None = None,
    *,
    multi: bool = False,
) -> ProbabilityTable:
    """One row per instance of known truth, in order; arguments as `probability_metrics` takes them, all labels as lists."""
    for other in (probabilities, truth if pred is None else pred):
        if len(other) != len(truth):
            raise InputError(f"{len(truth)} true and {len(other)} predicted values; give one prediction per instance.")
    answers = [_answer(p, values, multi) for p in probabilities] if pred is None else pred
    known = [i for i, one in enumerate(truth) if one is not None]
    truth, answers = ([rows[i] for i in known] for rows in (truth, answers))
    given = [probabilities[i] or None for i in known]
    index = {value: i for i, value in enumerate(values)}
    absent = [math.nan] * len(index)
    names = tuple(index)
    rows = [absent if p is None else p.values() if tuple(p) == names else [p.get(v, 0.0) for v in names] for p in given]
    prob = np.fromiter(chain.from_iterable(rows), np.float64, len(known) * len(names))
    prob = np.minimum(prob.reshape(len(known), len(names)), 1.0)
    answer, outside = one_hot(answers, index)
    true = true_one_hot(truth, index)
    has = np.array([p is not None and a is not None for p, a in zip(given, answers, strict=True)], bool)
    first_right = np.array([first(a) == first(b) for a, b in zip(truth, answers, strict=True)], bool) & has
    alone = [_confidence(first(b), p, alone=multi) for b, p in zip(answers, given, strict=True)]
    first_confidence = np.where(has, np.array(alone, np.float64), np.nan)
    confidence, right = first_confidence, first_right
    if multi:
        confidence = np.where(has, np.where(answer, prob, 1 - prob).prod(axis=1), np.nan)
        right = has & (outside == 0) & (true == answer).all(axis=1)
    return ProbabilityTable(
        true=true,
        answer=answer,
        prob=prob,
        rank=_ranks(prob, truth, given, index),
        confidence=confidence,
        right=right,
        first_confidence=first_confidence,
        first_right=first_right,
    )


def _answer(probs: Probabilities | None, values: Sequence[str], multi: bool) -> list[str] | None:
    if not probs:
        return None
    order = sorted(dict.fromkeys([*values, *probs]), key=lambda value: -probs.get(value, 0.0))  # stable: ties by place
    return [order[0], *(value for value in order[1:] if multi and probs.get(value, 0.0) >= PRESENT)]


def _ranks(prob: np.ndarray, truth: Sequence[Labels], given: Sequence[Any], index: Mapping[str, int]) -> np.ndarray:
    """How many values stand before the true first one, float64 (n,): likelier ones, and as likely ones that ``index`` has
    earlier or not at all. inf: no probabilities; NaN: no true value."""
    column = np.array([index[one[0]] if one else -1 for one in truth], np.int64)
    own = np.take_along_axis(prob, np.maximum(column, 0)[:, None], axis=1) if prob.size else np.zeros((len(prob), 1))
    before = (prob > own) | ((prob == own) & (np.arange(len(index)) < column[:, None]))
    ranks = before.sum(axis=1).astype(np.float64)
    for row, probs in enumerate(given):
        if probs is None:
            ranks[row] = math.inf
        elif not probs.keys() <= index.keys():
            ranks[row] += sum(p >= own[row, 0] for value, p in probs.items() if value not in index)
    ranks[column < 0] = math.nan
    return ranks


def _confidence(first: str | None, probs: Probabilities | None, *, alone: bool) -> float:
    """Of the first value (``alone``: and of no other); of the answer "none applies" that not even the likeliest does."""
    if probs is None:
        return math.nan
    own = 1.0 if first is None else min(1.0, probs.get(first, 0.0))
    if not alone and first is not None:
        return own
    return own * max(0.0, 1 - max((p for value, p in probs.items() if value != first), default=0.0))


def probability_results(
    table: ProbabilityTable,
    values: Sequence[str],
    *,
    multi: bool = False,
    precision: float = PRECISION,
    bins: int = BINS,
) -> ProbabilityMetrics:
    """The figures of a table. Raises InputError for a precision outside (0, 1]."""
    check_precision(precision)
    per_value = {value: _value(table, i, precision) for i, value in enumerate(values)}
    aps = [one.ap for one in per_value.values() if not math.isnan(one.ap)]
    judged = ~np.isnan(table.prob).any(axis=1) if multi else ~np.isnan(table.confidence)
    stated, observed = table.confidence[judged], table.right[judged]
    if multi:
        stated, observed = table.prob[judged].ravel(), table.true[judged].ravel()
    bars = reliability(stated, observed, bins=bins)
    curve = coverage_curve(table.confidence, table.right)
    curve_first = coverage_curve(table.first_confidence, table.first_right) if multi else None
    ranked = table.rank[~np.isnan(table.rank)]
    return ProbabilityMetrics(
        support=len(table),
        answered=int((~np.isnan(table.confidence)).sum()),
        macro_ap=float(np.mean(aps)) if aps else math.nan,
        top_k={k: float((ranked < k).mean()) if len(ranked) else math.nan for k in TOP_K if k < len(values)},
        ece=_gap(bars),
        ece_adaptive=adaptive_calibration_error(stated, observed, bins=bins),
        reliability=bars,
        coverage=curve.at(precision),
        coverage_first=curve_first.at(precision) if curve_first else None,
        curve=curve,
        curve_first=curve_first,
        per_value=per_value,
    )


def _value(table: ProbabilityTable, column: int, precision: float) -> ValueProbability:
    true, prob, named = table.true[:, column], table.prob[:, column], table.answer[:, column]
    coverage = coverage_curve(prob[named], true[named]).at(precision)
    recall = coverage.right / true.sum() if true.any() else math.nan
    return ValueProbability(average_precision(prob, true), coverage, float(recall))


def average_precision(score: np.ndarray, positive: np.ndarray) -> float:
    """Sum over falling thresholds of (recall - recall before) x precision: the area under the precision-recall steps,
    not interpolated (Manning, Raghavan & Schuetze 2008, "Introduction to Information Retrieval", 8.4).

    score: float (n,), NaN = never retrieved. positive: bool (n,). Equal scores are one threshold, so the order of the
    instances has no say. NaN where nothing is positive.
    """
    total = float(np.sum(positive))
    if not total:
        return math.nan
    curve = coverage_curve(score, positive)
    return float(np.sum(np.diff(curve.right, prepend=0.0) * curve.precision) / total)


def adaptive_calibration_error(confidence: np.ndarray, correct: np.ndarray, *, bins: int = BINS) -> float:
    """Mean |confidence - accuracy| over ``bins`` bins of (nearly) equal count, weighted by it: no bin is empty where
    most answers are confident (Nguyen & O'Connor 2015; Nixon et al. 2019, "Measuring Calibration in Deep Learning").

    Equal confidences share a bin, so the order of the instances has no say. NaN for n = 0.
    """
    confidence, correct = np.asarray(confidence, np.float64), np.asarray(correct, np.float64)
    if not len(confidence):
        return math.nan
    order = np.argsort(confidence, kind="stable")
    ranked = confidence[order]
    bin_of = np.searchsorted(ranked, ranked, side="left") * bins // len(ranked)
    stated, observed, count = (np.bincount(bin_of, w) for w in (ranked, correct[order], None))
    return float(np.abs(stated - observed).sum() / count.sum())


def _gap(bars: np.ndarray) -> float:
    count = bars[:, 2]
    return float((count * np.abs(bars[:, 0] - bars[:, 1])).sum() / count.sum()) if count.sum() else math.nan
