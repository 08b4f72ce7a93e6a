"""Masks, categories and attributes judged together: all figures of one set of predictions."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..datasets.errors import InputError
from ..datasets.schema import listed
from ..seg.bootstrap import bootstrap, interval_keys
from ..seg.coco_eval import CocoParams, CocoResult, coco_evaluate
from ..seg.matching import Matches, best_boundary_f, match
from ..seg.pairing import Pairing
from .coverage import PRECISION, check_precision, coverage_intervals
from .evaluation import LabelMetrics, NumberMetrics
from .joint_attributes import comparable_attributes, matched_attributes

__all__ = ["JointConfig", "JointMetrics", "comparable_attributes", "joint_metrics"]

POOR_IOU = 0.8  # below it a mask needs a person's hand


@dataclass(frozen=True)
class JointConfig:
    """iou_thr: a detection is a product's from this IoU on. score_thr: detections below it take part in the COCO numbers
    only. boundary_px: tolerance of the boundary F. class_agnostic: leave out the COCO numbers by category. group_by: the
    key of an image that names what is drawn in the bootstrap (None: the image). precision: the one that the coverage of
    attributes is told at (``coverage95``). coco: IoUs, sizes and numbers of detections of the COCO numbers. boundary:
    also Boundary AP (slow)."""

    iou_thr: float = 0.5
    score_thr: float = 0.0
    boundary_px: int = 3
    class_agnostic: bool = False
    group_by: str | None = None
    resamples: int = 1000
    seed: int = 0
    precision: float = PRECISION
    coco: CocoParams = field(default_factory=CocoParams)
    boundary: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.iou_thr <= 1:
            raise InputError(f"iou_thr is {self.iou_thr}; expected above 0, at most 1.")
        check_precision(self.precision)
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
    extra: int64 (e,), rows of the other detections that take part and lie on no crowd region. by_category: true category
    -> attribute -> its metrics on that category's products. coco: prefix of a key (``segm``, ``segm-agnostic``, ...) ->
    the evaluation with its curves and categories. answers: by key of a coverage (``category/coverage95``), what
    `coverage_curve` takes, confidence float64 (k,) and right bool (k,), and row int64 (k,), places in ``row_groups``."""

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
    answers: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]] = field(default_factory=dict, repr=False)
    by_category: dict[str, dict[str, LabelMetrics | NumberMetrics]] = field(default_factory=dict, repr=False)
    coco: dict[str, CocoResult] = field(default_factory=dict, repr=False)

    def flat(self) -> dict[str, float | None]:
        """``numbers`` and, as ``<key>/ci95_low`` and ``/ci95_high``, ``intervals``; None where undefined (no JSON NaN)."""
        found = self.numbers | interval_keys(self.intervals)
        return {key: value if np.isfinite(value) else None for key, value in found.items()}


def joint_metrics(
    pairing: Pairing, config: JointConfig | None = None, *, coco: bool = True, both_known: bool = False
) -> JointMetrics:
    """Every figure of ``pairing``: COCO numbers, mask quality per product, category and attributes on matched instances.

    A product that no detection matches is missed; it has no say in category and attributes. coco=False: no COCO
    numbers. both_known: where the predictions lack an attribute it is unknown, not wrong: they are a second annotator's.
    Raises InputError for a ``group_by`` that no image has.
    """
    config = config or JointConfig()
    notes = list(pairing.notes)
    numbers = {
        "images/truth": len(pairing.images),
        "images/compared": len(pairing.images) - len(pairing.missing),
        "images/missing": len(pairing.missing),
    }
    evaluated = _coco(pairing, config, notes) if coco else {}
    for prefix, result in evaluated.items():
        names = () if prefix.endswith("-agnostic") else pairing.categories
        numbers |= {f"{prefix}/{key}": value for key, value in result.flat(names).items()}
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
    detected = confident[matches.detection]
    read = matched_attributes(
        pairing, matches.truth, detected, notes, precision=config.precision, both_known=both_known
    )
    parts |= read.parts
    numbers |= read.flat()
    parts = {name: (table[product], statistic) for name, (table, statistic) in parts.items()}
    own = [groups[i] for i in pairing.truth.image[product]]
    intervals = bootstrap(own, parts, resamples=config.resamples, seed=config.seed)
    place = np.cumsum(product) - 1  # of a true instance among the products
    coverage = {key: (confidence, right, place[row]) for key, (confidence, right, row) in read.coverage.items()}
    intervals |= coverage_intervals(
        own, coverage, precision=config.precision, resamples=config.resamples, seed=config.seed
    )
    intervals = {key: value for key, value in intervals.items() if key in numbers and np.isfinite(value).all()}
    best = np.append(confident, -1)[matches.best_detection]  # -1 stays -1
    return JointMetrics(
        numbers,
        intervals,
        read.category,
        read.attributes,
        len(set(own)),
        matches.best_iou,
        best,
        notes,
        parts=parts,
        row_groups=own,
        photo_groups=groups,
        by_category=read.by_category,
        coco=evaluated,
        matched=np.column_stack([matches.truth, detected]),
        extra=np.setdiff1d(confident[~matches.excused], detected),
        answers=coverage,
    )


def _coco(pairing: Pairing, config: JointConfig, notes: list[str]) -> dict[str, CocoResult]:
    by_category = not config.class_agnostic
    if by_category and len(pairing.detections) and (pairing.detections.category < 0).all():
        by_category = False
        notes.append("No predicted category is one of the truth's: COCO numbers are class-agnostic only.")
    kinds = ("segm", "bbox") if pairing.masked else ("bbox",)
    if config.boundary and pairing.masked:
        kinds += ("boundary",)
    elif config.boundary:
        notes.append("No Boundary AP: it needs masks on both sides.")
    found = {}
    for kind in kinds:
        for agnostic in (False, True) if by_category else (True,):
            found[f"{kind}-agnostic" if agnostic else kind] = coco_evaluate(
                pairing.truth,
                pairing.detections,
                sizes=pairing.sizes,
                categories=len(pairing.categories),
                kind=kind,
                class_agnostic=agnostic,
                params=config.coco,
            )
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
