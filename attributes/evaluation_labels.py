"""Metrics of label attributes: accuracy, precision, recall, macro-F1, confusion; single values and ordered sets."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..datasets.errors import InputError
from .evaluation_probabilities import ProbabilityMetrics
from .label_arrays import first, one_hot, true_one_hot

# Column layout of a label table: known, right (first value), Jaccard, set right, then per value: right, predicted, true.
_KNOWN, _RIGHT, _JACCARD, _EXACT, _VALUES = 0, 1, 2, 3, 4


@dataclass(frozen=True)
class ValueMetrics:
    """One value of an attribute against all others. accuracy: share of the instances on which truth and prediction agree
    whether it has the value. precision and recall are NaN where nothing was predicted or nothing is true."""

    accuracy: float
    precision: float
    recall: float
    f1: float
    support: int
    predicted: int


@dataclass(frozen=True)
class LabelMetrics:
    """A single or multi attribute over ``support`` instances with a known truth; NaN without any.

    accuracy: share with the right value; of a multi attribute its primary (first) value. macro_precision, macro_recall,
    macro_f1: mean over the values that occur in the truth (a value that is only predicted lowers the others' precision,
    not the number of terms; one that is never predicted has precision 0); of a multi attribute over its sets. jaccard:
    mean |truth & predicted| / |truth | predicted|, exact: share whose whole set is right, in any order; multi only.
    confusion: int64 (V + 1, V + 1), rows truth, columns prediction, of primary values; the last row and column are
    "no value or one outside ``values``". probability: of the predicted probabilities, None where there are none.
    """

    values: tuple[str, ...]
    support: int
    accuracy: float
    macro_precision: float
    macro_recall: float
    macro_f1: float
    jaccard: float | None
    exact: float | None
    per_value: dict[str, ValueMetrics]
    confusion: np.ndarray
    probability: ProbabilityMetrics | None = None

    @property
    def kappa(self) -> float:
        """Cohen's kappa of the primary values: agreement beyond chance, 1 = always, 0 = as two who draw from their own
        shares (Cohen 1960). NaN where chance alone agrees always, or without instances."""
        total = self.confusion.sum()
        if not total:
            return float("nan")
        rows, columns = self.confusion.sum(axis=1) / total, self.confusion.sum(axis=0) / total
        chance = float(rows @ columns)
        return (float(np.trace(self.confusion) / total) - chance) / (1 - chance) if chance < 1 else float("nan")

    def flat(self) -> dict[str, float]:
        """``accuracy``, ``macro_f1``, ``support``, ``jaccard``, ``value/<value>/precision`` ..., without a prefix; with
        probabilities also the keys of `ProbabilityMetrics.flat`."""
        found = {"accuracy": self.accuracy, "macro_precision": self.macro_precision, "macro_recall": self.macro_recall}
        found |= {"macro_f1": self.macro_f1, "support": self.support}
        found |= {name: getattr(self, name) for name in ("jaccard", "exact") if getattr(self, name) is not None}
        for value, one in self.per_value.items():
            for name in ("accuracy", "precision", "recall", "f1", "support"):
                found[f"value/{value}/{name}"] = getattr(one, name)
        return found | (self.probability.flat() if self.probability is not None else {})


def single_metrics(
    truth: Sequence[str | None], pred: Sequence[str | None], values: Sequence[str] | None = None
) -> LabelMetrics:
    """Metrics of a single attribute. truth: n values, None = unknown. values: all that may be true (None: those seen).

    Raises InputError for lists of different lengths and for a truth outside ``values``.
    """
    return _label_metrics(_listed(truth), _listed(pred), values, multi=False)


def multi_metrics(
    truth: Sequence[Sequence[str] | None], pred: Sequence[Sequence[str] | None], values: Sequence[str] | None = None
) -> LabelMetrics:
    """Metrics of an ordered multi attribute, dominant value first. truth: n lists, None = unknown, [] = none applies.

    Raises InputError for lists of different lengths and for a truth outside ``values``.
    """
    return _label_metrics(truth, pred, values, multi=True)


def _listed(labels: Sequence[str | None]) -> list[list[str] | None]:
    return [None if label is None else [label] for label in labels]


def _label_metrics(truth, pred, values, *, multi: bool) -> LabelMetrics:
    values = seen_values(truth) if values is None else tuple(values)
    sums = label_table(truth, pred, values).sum(axis=0)
    return label_results(sums, confusion_counts(truth, pred, values), values, multi=multi)


def seen_values(truth: Iterable[Sequence[str] | None]) -> tuple[str, ...]:
    """The values that occur, in order of first appearance."""
    return tuple(dict.fromkeys(value for one in truth if one is not None for value in one))


def label_table(
    truth: Sequence[Sequence[str] | None], pred: Sequence[Sequence[str] | None], values: Sequence[str]
) -> np.ndarray:
    """One row per instance, float64 (n, 4 + 3 V), whose sums make all figures (``label_statistics``).

    A row of an unknown truth is zero. Raises InputError for lists of different lengths and for a truth outside ``values``.
    """
    same_length(truth, pred)
    index = {value: i for i, value in enumerate(values)}
    table = np.zeros((len(truth), label_width(len(index))))
    right, predicted, true = np.split(table[:, _VALUES:], 3, axis=1)
    known = np.array([one is not None for one in truth], bool)
    true[:] = true_one_hot(truth, index)
    hot, outside = one_hot([b if a is not None else None for a, b in zip(truth, pred, strict=True)], index)
    predicted[:] = hot
    np.multiply(true, predicted, out=right)
    both, either = right.sum(axis=1), np.logical_or(true, hot).sum(axis=1) + outside
    table[:, _KNOWN] = known
    table[:, _RIGHT] = known & np.array([first(a) == first(b) for a, b in zip(truth, pred, strict=True)], bool)
    table[:, _JACCARD] = np.where(either > 0, both / np.maximum(either, 1), known)
    table[:, _EXACT] = known & (both == either)
    return table


def label_width(values: int) -> int:
    """Columns of a label table of so many values."""
    return _VALUES + 3 * values


def same_length(truth: Sequence, pred: Sequence) -> None:
    """Raises InputError where they are not."""
    if len(truth) != len(pred):
        raise InputError(f"{len(truth)} true and {len(pred)} predicted values; give one prediction per instance.")


def label_statistics(sums: np.ndarray) -> dict[str, np.ndarray]:
    """accuracy, macro_precision, macro_recall, macro_f1, jaccard, exact of column sums float64 (..., 4 + 3 V): arrays
    (...), NaN without a known truth."""
    right, predicted, true = np.split(sums[..., _VALUES:], 3, axis=-1)
    occurs = true > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = {
            "macro_precision": np.where(occurs & (predicted > 0), right / predicted, 0.0),
            "macro_recall": np.where(occurs, right / true, 0.0),
            "macro_f1": np.where(occurs, 2 * right / (predicted + true), 0.0),
        }
        shares = {"accuracy": _RIGHT, "jaccard": _JACCARD, "exact": _EXACT}
        return {name: sums[..., column] / sums[..., _KNOWN] for name, column in shares.items()} | {
            name: term.sum(axis=-1) / occurs.sum(axis=-1) for name, term in terms.items()
        }


def label_results(
    sums: np.ndarray,
    confusion: np.ndarray,
    values: Sequence[str],
    *,
    multi: bool,
    probability: ProbabilityMetrics | None = None,
) -> LabelMetrics:
    """The figures of column sums (4 + 3 V,) of ``label_table`` and of ``confusion_counts``."""
    figures = {name: float(value) for name, value in label_statistics(sums).items()}
    known, columns = sums[_KNOWN], np.split(sums[_VALUES:], 3)
    return LabelMetrics(
        values=tuple(values),
        support=int(known),
        **figures | ({} if multi else {"jaccard": None, "exact": None}),
        per_value={value: _value(known, *counts) for value, *counts in zip(values, *columns, strict=True)},
        confusion=confusion,
        probability=probability,
    )


def _value(known: float, right: float, predicted: float, true: float) -> ValueMetrics:
    nan = float("nan")
    return ValueMetrics(
        accuracy=float((known - predicted - true + 2 * right) / known) if known else nan,
        precision=float(right / predicted) if predicted else nan,
        recall=float(right / true) if true else nan,
        f1=float(2 * right / (predicted + true)) if predicted + true else nan,
        support=int(true),
        predicted=int(predicted),
    )


def confusion_counts(
    truth: Sequence[Sequence[str] | None], pred: Sequence[Sequence[str] | None], values: Sequence[str]
) -> np.ndarray:
    """int64 (V + 1, V + 1): rows truth, columns prediction, of first values; last = no value, or one not in ``values``."""
    same_length(truth, pred)
    index = {value: i for i, value in enumerate(values)}
    counts = np.zeros((len(index) + 1, len(index) + 1), np.int64)
    for a, b in zip(truth, pred, strict=True):
        if a is not None:
            counts[index.get(first(a), len(index)), index.get(first(b), len(index))] += 1
    return counts
