"""Masks, categories and attributes judged together: all figures of one set of predictions."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..datasets.errors import InputError
from ..datasets.schema import Attribute, Schema, listed
from ..seg.bootstrap import bootstrap
from ..seg.coco_eval import coco_numbers
from ..seg.matching import Matches, best_boundary_f, match
from ..seg.pairing import Pairing
from .evaluation import (
    LabelMetrics,
    NumberMetrics,
    attribute_columns,
    confusion_counts,
    label_results,
    label_statistics,
    label_table,
    number_results,
    number_statistics,
    number_table,
)

POOR_IOU = 0.8  # below it a mask needs a person's hand


@dataclass(frozen=True)
class JointConfig:
    """iou_thr: a detection is a product's from this IoU on. score_thr: detections below it take part in the COCO numbers
    only. boundary_px: tolerance of the boundary F. class_agnostic: leave out the COCO numbers by category. group_by: the
    key of an image that names what is drawn in the bootstrap (None: the image)."""

    iou_thr: float = 0.5
    score_thr: float = 0.0
    boundary_px: int = 3
    class_agnostic: bool = False
    group_by: str | None = None
    resamples: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.iou_thr <= 1:
            raise InputError(f"iou_thr is {self.iou_thr}; expected above 0, at most 1.")
        if self.boundary_px < 1 or self.resamples < 1:
            raise InputError(
                f"boundary_px is {self.boundary_px}, resamples {self.resamples}; expected at least 1 of each."
            )


@dataclass(frozen=True)
class JointMetrics:
    """numbers: flat, with stable keys (``segm/AP``, ``product/iou``, ``category/accuracy``,
    ``attributes/color/macro_f1``, ...). intervals: 95 %, by the same keys, over ``groups`` groups. category, attributes:
    the same with confusion matrices; category is None where no name is common. best_iou: float64 (n,), best_detection:
    int64 (n,), per true instance of the pairing its best detection's IoU and row (-1: none). notes: sentences for the
    reader. parts: what the intervals were made of, {prefix of a key: (table, statistic)} as ``bootstrap`` has it, a row
    of each table per true product, whose group is in ``row_groups``; two runs over one truth have the same rows.
    photo_groups: the group of every photo. matched: int64 (k, 2), rows of truth and detections that are one product;
    extra: int64 (e,), rows of the other detections that take part and lie on no crowd region."""

    numbers: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    category: LabelMetrics | None
    attributes: dict[str, LabelMetrics | NumberMetrics]
    groups: int
    best_iou: np.ndarray
    best_detection: np.ndarray
    notes: list[str] = field(default_factory=list)
    parts: dict[str, tuple[np.ndarray, Any]] = field(default_factory=dict, repr=False)
    row_groups: list[Any] = field(default_factory=list, repr=False)
    photo_groups: list[Any] = field(default_factory=list, repr=False)
    matched: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), np.int64), repr=False)
    extra: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64), repr=False)

    def flat(self) -> dict[str, float | None]:
        """``numbers`` and, as ``<key>/ci95_low`` and ``/ci95_high``, ``intervals``; None where undefined (no JSON NaN)."""
        ends = {
            f"{k}/ci95_{end}": v
            for k, pair in self.intervals.items()
            for end, v in zip(("low", "high"), pair, strict=True)
        }
        return {key: value if np.isfinite(value) else None for key, value in (self.numbers | ends).items()}


def joint_metrics(pairing: Pairing, config: JointConfig | None = None) -> JointMetrics:
    """Every figure of ``pairing``: COCO numbers, mask quality per product, category and attributes on matched instances.

    A product that no detection matches is missed; it has no say in category and attributes. Raises InputError for a
    ``group_by`` that no image has.
    """
    config = config or JointConfig()
    notes = list(pairing.notes)
    numbers = {
        "images/truth": len(pairing.images),
        "images/compared": len(pairing.images) - len(pairing.missing),
        "images/missing": len(pairing.missing),
    }
    numbers |= _coco(pairing, config, notes)
    groups = _groups(pairing, config.group_by, notes)
    confident = np.flatnonzero(pairing.detections.score >= config.score_thr)
    detections = pairing.detections.select(confident)
    matches = match(pairing.truth, detections, iou_thr=config.iou_thr)
    product = ~pairing.truth.crowd
    numbers |= {
        "instances/truth": int(product.sum()),
        "instances/detected": len(detections),
        "instances/matched": len(matches.truth),
        "instances/missed": int(product.sum()) - len(matches.truth),
        "instances/extra": int((~matches.excused).sum()) - len(matches.detection),
    }
    parts: dict[str, tuple[np.ndarray, Any]] = {"product": _product_part(pairing, detections, matches, config)}
    numbers |= {f"product/{k}": float(v) for k, v in parts["product"][1](parts["product"][0].sum(axis=0)).items()}
    rows = _MatchedRows(matches.truth, confident[matches.detection], len(pairing.truth))
    category = _category(pairing, rows, parts, notes)
    attributes = _attributes(pairing, rows, parts, notes)
    for prefix, one in ([("category", category)] if category else []) + [
        (f"attributes/{n}", a) for n, a in attributes.items()
    ]:
        numbers |= {f"{prefix}/{key}": value for key, value in one.flat().items()}
    parts = {name: (table[product], statistic) for name, (table, statistic) in parts.items()}
    own = [groups[i] for i in pairing.truth.image[product]]
    intervals = bootstrap(own, parts, resamples=config.resamples, seed=config.seed)
    intervals = {key: value for key, value in intervals.items() if key in numbers and np.isfinite(value).all()}
    best = np.append(confident, -1)[matches.best_detection]  # -1 stays -1
    return JointMetrics(
        numbers,
        intervals,
        category,
        attributes,
        len(set(own)),
        matches.best_iou,
        best,
        notes,
        parts=parts,
        row_groups=own,
        photo_groups=groups,
        matched=np.column_stack([rows.truth, rows.detection]),
        extra=np.setdiff1d(confident[~matches.excused], rows.detection),
    )


@dataclass(frozen=True)
class _MatchedRows:
    """truth[i] and detection[i] are one product: int64 (k,), rows of the pairing's columns."""

    truth: np.ndarray
    detection: np.ndarray
    truth_count: int

    def spread(self, table: np.ndarray) -> np.ndarray:
        """A table of the matched (k, c) as one of all true instances (n, c), zero where unmatched."""
        found = np.zeros((self.truth_count, table.shape[1]))
        found[self.truth] = table
        return found


def _coco(pairing: Pairing, config: JointConfig, notes: list[str]) -> dict[str, float]:
    by_category = not config.class_agnostic
    if by_category and len(pairing.detections) and (pairing.detections.category < 0).all():
        by_category = False
        notes.append("No predicted category is one of the truth's: COCO numbers are class-agnostic only.")
    found = {}
    for kind in ("segm", "bbox") if pairing.masked else ("bbox",):
        for agnostic in (False, True) if by_category else (True,):
            values = coco_numbers(
                pairing.truth,
                pairing.detections,
                sizes=pairing.sizes,
                categories=len(pairing.categories),
                kind=kind,
                class_agnostic=agnostic,
            )
            found |= {f"{kind}-agnostic/{k}" if agnostic else f"{kind}/{k}": v for k, v in values.items()}
    return found


def _groups(pairing: Pairing, key: str | None, notes: list[str]) -> list[Any]:
    """The group of every photo."""
    if key is None:
        return list(range(len(pairing.images)))
    values = [image.extra.get(key) for image in pairing.images]
    known = [value for value in values if isinstance(value, str | int | float)]
    if not known:
        keys = sorted({name for image in pairing.images for name in image.extra})
        raise InputError(
            f"no image of the truth has {key!r} to group by; its images have {listed(keys) or 'no such keys'}."
        )
    if len(known) < len(values):
        notes.append(f"Photos without {key!r} ({len(values) - len(known):,}): each is a group of its own.")
    return [value if isinstance(value, str | int | float) else ("photo", i) for i, value in enumerate(values)]


def _product_part(pairing: Pairing, detections, matches: Matches, config: JointConfig) -> tuple[np.ndarray, Any]:
    """Columns: product, best IoU, below POOR_IOU, matched and, with masks, boundary F."""
    product = ~pairing.truth.crowd
    found = np.zeros(len(pairing.truth))
    found[matches.truth] = 1
    columns = [product, matches.best_iou, product & (matches.best_iou < POOR_IOU), found]
    if pairing.masked:
        columns.append(best_boundary_f(pairing.truth, detections, matches, tolerance_px=config.boundary_px))
    names = ("iou", "iou_below_80", "found", "boundary_f")[: len(columns) - 1]

    def statistic(sums: np.ndarray) -> dict[str, np.ndarray]:
        with np.errstate(divide="ignore", invalid="ignore"):
            return {name: sums[..., i] / sums[..., 0] for i, name in enumerate(names, 1)}

    return np.column_stack(columns).astype(np.float64), statistic


def _category(pairing: Pairing, rows: _MatchedRows, parts: dict, notes: list[str]) -> LabelMetrics | None:
    names = [pairing.detection_categories[j] for j in rows.detection]
    if names and not set(names) & set(pairing.categories):
        notes.append("The category could not be judged: no predicted name is one of the truth's.")
        return None
    truth = [[pairing.categories[pairing.truth.category[i]]] for i in rows.truth]
    return _labels("category", truth, [[name] for name in names], pairing.categories, False, rows, parts)


def _labels(prefix, truth, pred, values: Sequence[str], multi: bool, rows: _MatchedRows, parts: dict) -> LabelMetrics:
    table = label_table(truth, pred, values)
    parts[prefix] = rows.spread(table), label_statistics
    return label_results(table.sum(axis=0), confusion_counts(truth, pred, values), values, multi=multi)


def _attributes(
    pairing: Pairing, rows: _MatchedRows, parts: dict, notes: list[str]
) -> dict[str, LabelMetrics | NumberMetrics]:
    truth_dicts = [pairing.truth_attributes[i] for i in rows.truth]
    pred_dicts = [pairing.detection_attributes[j] for j in rows.detection]
    found: dict[str, LabelMetrics | NumberMetrics] = {}
    for attribute in comparable_attributes(pairing, notes):
        prefix = f"attributes/{attribute.name}"
        truth, pred = (attribute_columns(attribute, dicts) for dicts in (truth_dicts, pred_dicts))
        if attribute.kind == "number":
            table = number_table(truth, pred)
            parts[prefix] = rows.spread(table), number_statistics
            found[attribute.name] = number_results(table.sum(axis=0))
        else:
            multi = attribute.kind == "multi"
            found[attribute.name] = _labels(prefix, truth, pred, attribute.values, multi, rows, parts)
    return found


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
