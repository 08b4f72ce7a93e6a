"""Attribute metrics: accuracy, macro-F1, precision and recall per value, confusion; errors of numbers.

Everything is made of column sums over instances, so figures of parts add up (batches, processes) and a bootstrap is one
matrix product. A missing truth is unknown and never counts; a missing prediction counts as wrong.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..datasets.errors import InputError
from ..datasets.schema import Attribute, Schema, listed

# Column layout of a label table: known, right (first value), Jaccard, then per value: right, predicted, true.
_KNOWN, _RIGHT, _JACCARD, _VALUES = 0, 1, 2, 3


@dataclass(frozen=True)
class ValueMetrics:
    """One value of an attribute. precision and recall are NaN where nothing was predicted or nothing is true."""

    precision: float
    recall: float
    f1: float
    support: int
    predicted: int


@dataclass(frozen=True)
class LabelMetrics:
    """A single or multi attribute over ``support`` instances with a known truth; NaN without any.

    accuracy: share with the right value; of a multi attribute its primary (first) value. macro_f1: mean F1 over the
    values that occur in the truth (a value that is only predicted lowers the others' precision, not the number of
    terms); of a multi attribute over its sets. jaccard: mean |truth & predicted| / |truth | predicted|, multi only.
    confusion: int64 (V + 1, V + 1), rows truth, columns prediction, of primary values; the last row and column are
    "no value or one outside ``values``".
    """

    values: tuple[str, ...]
    support: int
    accuracy: float
    macro_f1: float
    jaccard: float | None
    per_value: dict[str, ValueMetrics]
    confusion: np.ndarray

    def flat(self) -> dict[str, float]:
        """``accuracy``, ``macro_f1``, ``support``, ``jaccard``, ``value/<value>/precision`` ..., without a prefix."""
        found = {"accuracy": self.accuracy, "macro_f1": self.macro_f1, "support": self.support}
        if self.jaccard is not None:
            found["jaccard"] = self.jaccard
        for value, one in self.per_value.items():
            for name in ("precision", "recall", "f1", "support"):
                found[f"value/{value}/{name}"] = getattr(one, name)
        return found


@dataclass(frozen=True)
class NumberMetrics:
    """A number attribute over ``support`` instances with a known truth.

    mae, rmse: over the ``answered`` ones, in the attribute's unit; NaN without any.
    """

    support: int
    answered: int
    mae: float
    rmse: float

    def flat(self) -> dict[str, float]:
        """``mae``, ``rmse``, ``support``, ``answered``."""
        return {"mae": self.mae, "rmse": self.rmse, "support": self.support, "answered": self.answered}


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


def number_metrics(truth: Sequence[float | None], pred: Sequence[float | None]) -> NumberMetrics:
    """Metrics of a number attribute. truth: n numbers, None = unknown. Raises InputError for different lengths."""
    return number_results(number_table(truth, pred).sum(axis=0))


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
    """One row per instance, float64 (n, 3 + 3 V), whose sums make all figures (``label_statistics``).

    A row of an unknown truth is zero. Raises InputError for lists of different lengths and for a truth outside ``values``.
    """
    _same_length(truth, pred)
    index = {value: i for i, value in enumerate(values)}
    table = np.zeros((len(truth), _VALUES + 3 * len(index)))
    right, predicted, true = np.split(table[:, _VALUES:], 3, axis=1)
    for row, (a, b) in enumerate(zip(truth, pred, strict=True)):
        if a is None:
            continue
        if unknown := [value for value in a if value not in index]:
            raise InputError(f"true value {unknown[0]!r} of instance {row} is not among {listed(values)}.")
        a_set, b_set = set(a), set(b or ())
        table[row, _KNOWN] = 1
        table[row, _RIGHT] = _primary(a) == _primary(b)
        table[row, _JACCARD] = len(a_set & b_set) / len(a_set | b_set) if a_set | b_set else 1.0
        true[row, [index[value] for value in a_set]] = 1
        predicted[row, [index[value] for value in b_set if value in index]] = 1
    np.multiply(true, predicted, out=right)
    return table


def _primary(labels: Sequence[str] | None) -> str | None:
    return labels[0] if labels else None


def _same_length(truth: Sequence, pred: Sequence) -> None:
    if len(truth) != len(pred):
        raise InputError(f"{len(truth)} true and {len(pred)} predicted values; give one prediction per instance.")


def label_statistics(sums: np.ndarray) -> dict[str, np.ndarray]:
    """accuracy, macro_f1, jaccard of column sums float64 (..., 3 + 3 V): arrays (...), NaN without a known truth."""
    right, predicted, true = np.split(sums[..., _VALUES:], 3, axis=-1)
    occurs = true > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        f1 = np.where(occurs, 2 * right / (predicted + true), 0.0)
        return {
            "accuracy": sums[..., _RIGHT] / sums[..., _KNOWN],
            "macro_f1": f1.sum(axis=-1) / occurs.sum(axis=-1),
            "jaccard": sums[..., _JACCARD] / sums[..., _KNOWN],
        }


def label_results(sums: np.ndarray, confusion: np.ndarray, values: Sequence[str], *, multi: bool) -> LabelMetrics:
    """The figures of column sums (3 + 3 V,) of ``label_table`` and of ``confusion_counts``."""
    statistics = {name: float(value) for name, value in label_statistics(sums).items()}
    right, predicted, true = np.split(sums[_VALUES:], 3)
    per_value = {}
    for i, value in enumerate(values):
        r, p, t = right[i], predicted[i], true[i]
        f1 = 2 * r / (p + t) if p + t else float("nan")
        precision, recall = r / p if p else float("nan"), r / t if t else float("nan")
        per_value[value] = ValueMetrics(float(precision), float(recall), float(f1), int(t), int(p))
    return LabelMetrics(
        values=tuple(values),
        support=int(sums[_KNOWN]),
        accuracy=statistics["accuracy"],
        macro_f1=statistics["macro_f1"],
        jaccard=statistics["jaccard"] if multi else None,
        per_value=per_value,
        confusion=confusion,
    )


def confusion_counts(
    truth: Sequence[Sequence[str] | None], pred: Sequence[Sequence[str] | None], values: Sequence[str]
) -> np.ndarray:
    """int64 (V + 1, V + 1): rows truth, columns prediction, of first values; last = no value, or one not in ``values``."""
    _same_length(truth, pred)
    index = {value: i for i, value in enumerate(values)}
    counts = np.zeros((len(index) + 1, len(index) + 1), np.int64)
    for a, b in zip(truth, pred, strict=True):
        if a is not None:
            counts[index.get(_primary(a), len(index)), index.get(_primary(b), len(index))] += 1
    return counts


def number_table(truth: Sequence[float | None], pred: Sequence[float | None]) -> np.ndarray:
    """One row per instance, float64 (n, 4): known, answered, absolute error, squared error."""
    _same_length(truth, pred)
    table = np.zeros((len(truth), 4))
    for row, (a, b) in enumerate(zip(truth, pred, strict=True)):
        if a is not None:
            table[row, 0] = 1
            if b is not None:
                table[row, 1:] = 1, abs(a - b), (a - b) ** 2
    return table


def number_statistics(sums: np.ndarray) -> dict[str, np.ndarray]:
    """mae, rmse of column sums float64 (..., 4): arrays (...), NaN without an answer."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return {"mae": sums[..., 2] / sums[..., 1], "rmse": np.sqrt(sums[..., 3] / sums[..., 1])}


def number_results(sums: np.ndarray) -> NumberMetrics:
    """The figures of column sums (4,) of ``number_table``."""
    statistics = number_statistics(sums)
    return NumberMetrics(int(sums[0]), int(sums[1]), float(statistics["mae"]), float(statistics["rmse"]))


def attribute_columns(attribute: Attribute, dicts: Sequence[dict[str, Any]]) -> list:
    """One attribute's values of n annotation dicts in the form of its table: lists of labels, or numbers; None = missing.

    A label where a list is expected counts as a list of one, a list where a label is expected by its first.
    """
    values = [one.get(attribute.name) for one in dicts]
    if attribute.kind == "number":
        return [value if isinstance(value, int | float) else None for value in values]
    columns = [None if value is None else _labels(value) for value in values]
    return columns if attribute.kind == "multi" else [one and one[:1] for one in columns]


def _labels(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [one for one in value if isinstance(one, str)] if isinstance(value, list | tuple) else []


class AttributeMetrics:
    """All attributes of a schema over many batches: ``update`` per batch, ``merge`` across processes, ``compute``."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self._sums = {a.name: np.zeros(4 if a.kind == "number" else _VALUES + 3 * len(a.values)) for a in schema}
        sizes = {a.name: len(a.values) + 1 for a in schema if a.kind != "number"}
        self._confusion = {name: np.zeros((size, size), np.int64) for name, size in sizes.items()}

    def update(self, truth: Sequence[dict[str, Any]], pred: Sequence[dict[str, Any]]) -> None:
        """Add n instances, as ``Annotation.attributes`` dicts ({"color": ["navy"], "pattern": "striped"}).

        Raises InputError for lists of different lengths and for a truth outside the schema.
        """
        for attribute in self.schema:
            a, b = (attribute_columns(attribute, dicts) for dicts in (truth, pred))
            if attribute.kind == "number":
                self._sums[attribute.name] += number_table(a, b).sum(axis=0)
            else:
                self._sums[attribute.name] += label_table(a, b, attribute.values).sum(axis=0)
                self._confusion[attribute.name] += confusion_counts(a, b, attribute.values)

    def merge(self, other: "AttributeMetrics") -> None:
        """Add what another process has seen. Raises InputError for another schema."""
        if self.schema != other.schema:
            raise InputError("attribute metrics of two schemas cannot be merged; use one schema in all processes.")
        for name, sums in other._sums.items():
            self._sums[name] += sums
        for name, counts in other._confusion.items():
            self._confusion[name] += counts

    def compute(self) -> dict[str, LabelMetrics | NumberMetrics]:
        """Attribute name -> its metrics so far."""
        found: dict[str, LabelMetrics | NumberMetrics] = {}
        for a in self.schema:
            if a.kind == "number":
                found[a.name] = number_results(self._sums[a.name])
            else:
                confusion = self._confusion[a.name].copy()
                found[a.name] = label_results(self._sums[a.name], confusion, a.values, multi=a.kind == "multi")
        return found

    def flat(self) -> dict[str, float]:
        """``attributes/<name>/accuracy`` and so on, for a log."""
        return {
            f"attributes/{n}/{key}": value for n, one in self.compute().items() for key, value in one.flat().items()
        }
