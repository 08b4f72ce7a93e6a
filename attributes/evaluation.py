"""Attribute metrics: everything about one attribute (`judge`), and about all of a schema over many batches.

A missing truth is unknown and never counts; a missing prediction counts as wrong. The figures are made of column sums
over instances (so a bootstrap is one matrix product) and of tables with one row per instance.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..datasets.errors import InputError
from ..datasets.schema import Attribute, Schema
from .coverage import PRECISION, check_precision
from .evaluation_labels import (
    LabelMetrics,
    confusion_counts,
    label_results,
    label_statistics,
    label_table,
    label_width,
    multi_metrics,
    same_length,
    single_metrics,
)
from .evaluation_numbers import NumberMetrics, number_metrics, number_results, number_statistics, number_table
from .evaluation_probabilities import (
    ProbabilityMetrics,
    ProbabilityTable,
    probability_columns,
    probability_metrics,
    probability_results,
    probability_table,
)

__all__ = [
    "AttributeMetrics",
    "LabelMetrics",
    "NumberMetrics",
    "ProbabilityMetrics",
    "attribute_columns",
    "confusion_counts",
    "label_results",
    "label_statistics",
    "label_table",
    "multi_metrics",
    "number_metrics",
    "number_results",
    "number_statistics",
    "number_table",
    "probability_columns",
    "probability_metrics",
    "probability_results",
    "probability_table",
    "single_metrics",
]


def attribute_columns(attribute: Attribute, dicts: Sequence[dict[str, Any]]) -> list:
    """One attribute's values of n annotation dicts in the form of its table: lists of labels, or numbers; None = missing.

    A label where a list is expected counts as a list of one, a list where a label is expected by its first.
    """
    values = [one.get(attribute.name) for one in dicts]
    if attribute.kind == "number":
        return [value if isinstance(value, int | float) and not isinstance(value, bool) else None for value in values]
    columns = [None if value is None else _labels(value) for value in values]
    return columns if attribute.kind == "multi" else [one and one[:1] for one in columns]


def _labels(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [one for one in value if isinstance(one, str)] if isinstance(value, list | tuple) else []


class AttributeMetrics:
    """All attributes of a schema over many batches: ``update`` per batch, ``merge`` across processes, ``compute``.

    Holds plain arrays only, so it can be pickled and gathered (``torch.distributed.all_gather_object``). ``precision``:
    the one that coverage is told at. Raises InputError for a precision outside (0, 1].
    """

    def __init__(self, schema: Schema, *, precision: float = PRECISION) -> None:
        check_precision(precision)
        self.schema, self.precision = schema, precision
        self._states = {a.name: _Numbers() if a.kind == "number" else _Labels(a) for a in schema}
        self._categories: dict[str, AttributeMetrics] = {}

    def update(
        self,
        truth: Sequence[dict[str, Any]],
        pred: Sequence[dict[str, Any]],
        *,
        probabilities: Sequence[dict[str, Any] | None] | None = None,
        categories: Sequence[str] | None = None,
    ) -> None:
        """Add n instances, as ``Annotation.attributes`` dicts ({"color": ["navy"], "pattern": "striped"}).

        probabilities: per instance as in predictions.json ({"color": {"navy": 0.9, ...}}). categories: the true category
        of each, for `by_category`. Raises InputError for lists of different lengths, for a truth outside the schema and
        for what is no probability.
        """
        for other in (pred, probabilities, categories):
            if other is not None:
                same_length(truth, other)
        for attribute in self.schema:
            given = None if probabilities is None else probability_columns(attribute.name, probabilities)
            a, b = (attribute_columns(attribute, dicts) for dicts in (truth, pred))
            self._states[attribute.name].update(a, b, given)
        for name in dict.fromkeys(categories or ()):
            rows = [i for i, one in enumerate(categories) if one == name]
            parts = ([column[i] for i in rows] for column in (truth, pred, probabilities or [None] * len(truth)))
            a, b, given = parts
            self._category(name).update(a, b, probabilities=None if probabilities is None else given)

    def _category(self, name: str) -> "AttributeMetrics":
        return self._categories.setdefault(name, AttributeMetrics(self.schema, precision=self.precision))

    def merge(self, other: "AttributeMetrics") -> None:
        """Add what another process has seen. Raises InputError for another schema."""
        if self.schema != other.schema:
            raise InputError("attribute metrics of two schemas cannot be merged; use one schema in all processes.")
        for name, state in other._states.items():
            self._states[name].merge(state)
        for name, one in other._categories.items():
            self._category(name).merge(one)

    def compute(self) -> dict[str, LabelMetrics | NumberMetrics]:
        """Attribute name -> its metrics so far."""
        return {name: state.compute(self.precision) for name, state in self._states.items()}

    def by_category(self) -> dict[str, dict[str, LabelMetrics | NumberMetrics]]:
        """Category -> attribute name -> its metrics on the instances of that category."""
        return {name: one.compute() for name, one in self._categories.items()}

    def flat(self) -> dict[str, float]:
        """``attributes/<name>/accuracy`` and so on, for a log; by category as `category_flat` has them."""
        found = {f"attributes/{n}/{key}": v for n, one in self.compute().items() for key, v in one.flat().items()}
        return found | category_flat(self.by_category())


def category_flat(by_category: dict[str, dict[str, LabelMetrics | NumberMetrics]]) -> dict[str, float]:
    """``attributes/<name>/category/<category>/accuracy``, ``macro_f1``, ``coverage95`` ...: the figures of whole
    attributes; none for an attribute that no instance of the category has."""
    return {
        f"attributes/{name}/category/{category}/{key}": value
        for category, attributes in by_category.items()
        for name, one in attributes.items()
        if one.support
        for key, value in one.flat().items()
        if not key.startswith("value/")
    }


class _Labels:
    """What has been seen of a single or multi attribute."""

    def __init__(self, attribute: Attribute) -> None:
        self.values, self.multi = attribute.values, attribute.kind == "multi"
        self.sums = np.zeros(label_width(len(self.values)))
        self.confusion = np.zeros((len(self.values) + 1,) * 2, np.int64)
        self.tables: list[ProbabilityTable] = []

    def update(self, truth: list, pred: list, probabilities: list | None) -> None:
        self.sums += label_table(truth, pred, self.values).sum(axis=0)
        self.confusion += confusion_counts(truth, pred, self.values)
        # A batch without any keeps its rows: they count as not answered beside batches that have some.
        given = probabilities or [None] * len(truth)
        self.tables.append(probability_table(truth, given, self.values, pred, multi=self.multi))

    def merge(self, other: "_Labels") -> None:
        self.sums += other.sums
        self.confusion += other.confusion
        self.tables += other.tables

    def compute(self, precision: float) -> LabelMetrics:
        self.tables = [ProbabilityTable.concat(self.tables)] if self.tables else []
        return label_results(
            self.sums,
            self.confusion.copy(),
            self.values,
            multi=self.multi,
            probability=judged(self.tables[0] if self.tables else None, self.values, self.multi, precision),
        )


def judged(
    table: ProbabilityTable | None, values: Sequence[str], multi: bool, precision: float
) -> ProbabilityMetrics | None:
    """`probability_results`, or None where no instance has probabilities: nothing was said, so nothing is judged."""
    if table is None or np.isnan(table.prob).all():
        return None
    return probability_results(table, values, multi=multi, precision=precision)


class _Numbers:
    """What has been seen of a number attribute."""

    def __init__(self) -> None:
        self.truth: list[float | None] = []
        self.pred: list[float | None] = []

    def update(self, truth: list, pred: list, probabilities: list | None) -> None:
        self.truth += truth
        self.pred += pred

    def merge(self, other: "_Numbers") -> None:
        self.update(other.truth, other.pred, None)

    def compute(self, precision: float) -> NumberMetrics:
        return number_metrics(self.truth, self.pred)
