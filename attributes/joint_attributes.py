"""Category and attributes of matched products: every figure, whole and by category."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from ..datasets.schema import Attribute, Schema, listed
from ..seg.pairing import Pairing
from .coverage import PRECISION
from .evaluation import LabelMetrics, NumberMetrics, attribute_columns, category_flat, judged
from .evaluation_labels import confusion_counts, label_results, label_statistics, label_table
from .evaluation_numbers import number_results, number_statistics, number_table
from .evaluation_probabilities import ProbabilityTable, probability_columns, probability_table

CATEGORY = "category"


@dataclass(frozen=True)
class MatchedAttributes:
    """What was read of the matched products.

    category is None where no predicted name is one of the truth's. attributes: by name, in the truth's order.
    by_category: true category -> attribute name -> its metrics on the products of that category. parts: tables and
    statistics as ``bootstrap`` takes them, by prefix of their keys, a row per true instance (zero where unmatched).
    coverage: by key, what `coverage_intervals` takes; rows are those of the truth.
    """

    category: LabelMetrics | None
    attributes: dict[str, LabelMetrics | NumberMetrics]
    by_category: dict[str, dict[str, LabelMetrics | NumberMetrics]]
    parts: dict[str, tuple[np.ndarray, Any]] = field(repr=False)
    coverage: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]] = field(repr=False)

    def flat(self) -> dict[str, float]:
        """``category/accuracy``, ``attributes/<name>/accuracy``, ``attributes/<name>/category/<category>/accuracy``."""
        named = {CATEGORY: self.category} if self.category is not None else {}
        named |= {f"attributes/{name}": one for name, one in self.attributes.items()}
        found = {f"{prefix}/{key}": value for prefix, one in named.items() for key, value in one.flat().items()}
        return found | category_flat(self.by_category)


def matched_attributes(
    pairing: Pairing,
    truth_rows: np.ndarray,
    detection_rows: np.ndarray,
    notes: list[str],
    *,
    precision: float = PRECISION,
    both_known: bool = False,
) -> MatchedAttributes:
    """Judge category and attributes where true instance ``truth_rows[i]`` is detection ``detection_rows[i]``, int64 (k,)
    each, rows of the pairing. Adds to ``notes`` what could not be judged and why; ``precision``: see `Coverage`;
    ``both_known``: an attribute that the detection lacks is unknown, too, not wrong."""
    columns: dict[str, _Labels | _Numbers] = {}
    category = _category_column(pairing, truth_rows, detection_rows, notes)
    if category is not None:
        columns[CATEGORY] = category
    given = [pairing.detection_probabilities[j] for j in detection_rows]
    spot = partial(_spot, pairing, detection_rows)
    truth_dicts = [pairing.truth_attributes[i] for i in truth_rows]
    pred_dicts = [pairing.detection_attributes[j] for j in detection_rows]
    for attribute in comparable_attributes(pairing, notes):
        truth, pred = (attribute_columns(attribute, dicts) for dicts in (truth_dicts, pred_dicts))
        if both_known:
            truth = [a if b is not None else None for a, b in zip(truth, pred, strict=True)]
        if attribute.kind == "number":
            columns[f"attributes/{attribute.name}"] = _Numbers(number_table(truth, pred))
        else:
            probabilities = probability_columns(attribute.name, given, spot)
            multi = attribute.kind == "multi"
            columns[f"attributes/{attribute.name}"] = _Labels(truth, pred, probabilities, attribute.values, multi)
    notes += [note for key, one in columns.items() if (note := one.note(key.removeprefix("attributes/")))]
    every = np.arange(len(truth_rows))
    whole = {key: one.metrics(every, precision) for key, one in columns.items()}
    attributes = {key: one for key, one in columns.items() if key != CATEGORY}
    of_category = pairing.truth.category[truth_rows]
    return MatchedAttributes(
        category=whole.get(CATEGORY),
        attributes={key.removeprefix("attributes/"): whole[key] for key in attributes},
        by_category={
            name: {
                key.removeprefix("attributes/"): one.metrics(np.flatnonzero(of_category == i), precision)
                for key, one in attributes.items()
            }
            for i, name in enumerate(pairing.categories)
            if attributes and (of_category == i).any()
        },
        parts={
            key: (_spread(one.table, truth_rows, len(pairing.truth)), one.statistics) for key, one in columns.items()
        },
        coverage={
            f"{key}/{name}": (confidence, right, truth_rows[rows])
            for key, one in columns.items()
            for name, (confidence, right, rows) in one.coverage(precision).items()
        },
    )


def _spread(table: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    """A table of the matched (k, c) as one of all true instances (n, c), zero where unmatched."""
    found = np.zeros((count, table.shape[1]))
    found[rows] = table
    return found


def _spot(pairing: Pairing, detection_rows: np.ndarray, row: int) -> str:
    j = detection_rows[row]
    return f"detection {j + 1}, on {pairing.images[pairing.detections.image[j]].file_name}"


class _Labels:
    """A single or multi attribute (or the category) of k matched instances, a row each."""

    statistics = staticmethod(label_statistics)

    def __init__(self, truth: list, pred: list, probabilities: list, values: Sequence[str], multi: bool):
        self.truth, self.pred, self.values, self.multi = truth, pred, tuple(values), multi
        self.table = label_table(truth, pred, values)
        self.known = np.array([i for i, one in enumerate(truth) if one is not None], np.int64)
        self.probabilities: ProbabilityTable | None = None
        self.unanswered = sum(not probabilities[i] for i in self.known)
        if self.unanswered < len(self.known):
            self.probabilities = probability_table(truth, probabilities, self.values, pred, multi=multi)

    def note(self, name: str) -> str | None:
        if self.probabilities is None or not self.unanswered:
            return None
        return (
            f"{name}: {self.unanswered:,} of {len(self.known):,} matched products with a known truth have no predicted "
            "probabilities: not answered, as far as AP, top-k and coverage go."
        )

    def metrics(self, rows: np.ndarray, precision: float) -> LabelMetrics:
        probabilities = self.probabilities
        if probabilities is not None:
            probabilities = probabilities.select(np.isin(self.known, rows))
        return label_results(
            self.table[rows].sum(axis=0),
            confusion_counts([self.truth[i] for i in rows], [self.pred[i] for i in rows], self.values),
            self.values,
            multi=self.multi,
            probability=judged(probabilities, self.values, self.multi, precision),
        )

    def coverage(self, precision: float) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
        one, key = self.probabilities, f"coverage{100 * precision:g}"
        if one is None:
            return {}
        found = {key: (one.confidence, one.right, self.known)}
        return found | ({f"{key}_first": (one.first_confidence, one.first_right, self.known)} if self.multi else {})


class _Numbers:
    """A number attribute of k matched instances."""

    statistics = staticmethod(number_statistics)

    def __init__(self, table: np.ndarray):
        self.table = table

    def note(self, name: str) -> None:
        return None

    def metrics(self, rows: np.ndarray, precision: float) -> NumberMetrics:
        return number_results(self.table[rows].sum(axis=0))

    def coverage(self, precision: float) -> dict:
        return {}


def _category_column(
    pairing: Pairing, truth_rows: np.ndarray, detection_rows: np.ndarray, notes: list[str]
) -> _Labels | None:
    names = [pairing.detection_categories[j] for j in detection_rows]
    if names and not set(names) & set(pairing.categories):
        notes.append("The category could not be judged: no predicted name is one of the truth's.")
        return None
    truth = [[pairing.categories[pairing.truth.category[i]]] for i in truth_rows]
    given = [pairing.detection_probabilities[j] for j in detection_rows]
    probabilities = probability_columns(CATEGORY, given, partial(_spot, pairing, detection_rows))
    return _Labels(truth, [[name] for name in names], probabilities, pairing.categories, False)


def comparable_attributes(pairing: Pairing, notes: list[str]) -> list[Attribute]:
    """The truth's attributes that the predictions hold in the same form; adds to ``notes`` what is left out and why.

    Where the predictions carry no schema, an attribute counts as predicted when any detection has it.
    """
    predicted = pairing.predicted_schema
    if predicted is None or not len(predicted):
        names = {name for one in pairing.detection_attributes for name in one}
        predicted = Schema(attribute for attribute in pairing.schema if attribute.name in names)
        extra = sorted(names - {attribute.name for attribute in pairing.schema})
    else:
        extra = [attribute.name for attribute in predicted if attribute.name not in pairing.schema]
    if not len(pairing.schema):
        notes.append("The truth has no attribute_schema: no attributes are compared.")
        return []
    common = [attribute for attribute in pairing.schema if attribute.name in predicted]
    absent = [attribute.name for attribute in pairing.schema if attribute.name not in predicted]
    if not common:
        notes.append(
            f"No attribute in common: the truth has {listed(absent)}, the predictions {listed(extra) or 'none'}."
        )
        return []
    if absent:
        notes.append(f"Not predicted, so not judged: {listed(absent)}.")
    if extra:
        notes.append(f"Predicted, but not in the truth: {listed(extra)}.")
    kept = [attribute for attribute in common if _same_form(attribute, predicted[attribute.name], notes)]
    for attribute in kept:
        if attribute.kind != "number":
            _value_notes(attribute, predicted[attribute.name], pairing, notes)
    return kept


def _same_form(truth: Attribute, predicted: Attribute, notes: list[str]) -> bool:
    if truth.kind != predicted.kind:
        notes.append(f"{truth.name} is {truth.kind} in the truth, {predicted.kind} in the predictions: not compared.")
    elif truth.unit != predicted.unit:
        notes.append(
            f"{truth.name} is in {truth.unit} in the truth, {predicted.unit} in the predictions: not compared."
        )
    else:
        return True
    return False


def _value_notes(truth: Attribute, predicted: Attribute, pairing: Pairing, notes: list[str]) -> None:
    """True values that cannot be predicted, and predicted values that cannot be true: both count as wrong."""
    columns = attribute_columns(truth, pairing.truth_attributes)
    never = [value for value in truth.values if value not in predicted.values]
    if hit := sum(any(value in never for value in one or ()) for one in columns):
        notes.append(
            f"{truth.name}: the predictor does not know {listed(never)}, the truth of {hit:,} instance"
            f"{'s' if hit > 1 else ''}: counted as wrong."
        )
    seen = {value for one in attribute_columns(truth, pairing.detection_attributes) for value in one or ()}
    if strange := sorted(seen - set(truth.values)):
        notes.append(
            f"{truth.name}: predicted values that the truth does not know ({listed(strange)}): counted as wrong."
        )
