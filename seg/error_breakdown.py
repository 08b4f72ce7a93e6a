"""Why the AP is not higher: every false positive and every missed product is given one cause, and every cause its price.

After TIDE (Bolya et al., "TIDE: A General Toolbox for Identifying Object Detection Errors", ECCV 2020). At one IoU
threshold every detection that is no true positive is, in this order, the first that fits:

- localisation: its best IoU with a product of its own category is at least ``bg_thr``, below ``iou_thr``;
- classification: IoU >= ``iou_thr`` with a product of another category;
- duplicate: IoU >= ``iou_thr`` with a product of its own category that a better detection has taken;
- background: IoU <= ``bg_thr`` with every product;
- both: what is left, badly placed and of the wrong category.

A product that no detection takes is *missed*, unless a classification or localisation error could be mended into it.

dAP of a cause is the AP with this cause alone mended, less the AP. Mended are: classification and localisation, by
making the most confident such detection of an open product a true positive and dropping the others; duplicate,
background and both, by dropping them; missed, by taking the missed products out of the truth. ``false_positive`` is the
same for all false positives at once (perfect precision at the recall there is), ``false_negative`` for all products
without a true positive. The figures do not add up to 1 - AP: causes hide each other.

Unlike the published code: true positives are COCO's (100 detections a photo *and category*, crowds excuse detections of
their category at IoU >= ``iou_thr``), so the AP taken apart is COCO's AP50 itself; the mean is over the categories with
truth, always the same ones; and a category of which every product is taken out counts 1 when nothing is wrongly
detected in it, else 0: the limit of what it is with one product left.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ..datasets.errors import InputError
from .coco_eval import Objects, make_objects
from .error_causes import (
    BACKGROUND,
    BOTH,
    CLASSIFICATION,
    CUT,
    DUPLICATE,
    ERRORS,
    EXCUSED,
    LOCALISATION,
    TRUE_POSITIVE,
    Causes,
    join_causes,
    judge,
)

__all__ = ["CUT", "ERRORS", "EXCUSED", "SPECIAL", "TRUE_POSITIVE", "ErrorBreakdown", "ErrorMetrics", "error_breakdown"]

SPECIAL = ("false_positive", "false_negative")

_RECALLS = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class ErrorBreakdown:
    """The causes of n products and m detections over K categories, in the order in which they were given.

    ap: mean over the categories with truth, -1 without any. delta_ap: cause (``ERRORS``, ``SPECIAL``) -> dAP. counts:
    cause -> how many detections (products, for ``missed`` and ``false_negative``). category_ap: float64 (K,), NaN
    without truth. category_delta_ap: cause -> float64 (K,). category_counts: cause -> int64 (K,), by the detection's
    category (the product's, for ``missed``). error: int8 (m,), index into ERRORS, or TRUE_POSITIVE, EXCUSED (on a
    crowd), CUT (past ``max_dets``). target: int64 (m,), the row of the product that a true positive, duplicate,
    classification or localisation error is about, -1 for the others. missed: bool (n,).
    """

    iou_thr: float
    bg_thr: float
    ap: float
    delta_ap: dict[str, float]
    counts: dict[str, int]
    category_ap: np.ndarray
    category_delta_ap: dict[str, np.ndarray]
    category_counts: dict[str, np.ndarray]
    error: np.ndarray
    target: np.ndarray
    missed: np.ndarray

    def flat(self, prefix: str = "errors") -> dict[str, float]:
        """``<prefix>/AP``, ``<prefix>/classification/dAP``, ``<prefix>/classification/count`` and so on."""
        found = {f"{prefix}/AP": self.ap}
        for cause, value in self.delta_ap.items():
            found[f"{prefix}/{cause}/dAP"] = value
            found[f"{prefix}/{cause}/count"] = self.counts[cause]
        return found


def error_breakdown(
    truth: Objects,
    detections: Objects,
    *,
    categories: int,
    kind: Literal["segm", "bbox"] = "segm",
    class_agnostic: bool = False,
    iou_thr: float = 0.5,
    bg_thr: float = 0.1,
    max_dets: int = 100,
) -> ErrorBreakdown:
    """The causes and prices of one set of photos (module text). Detections of category -1 (one that the truth does not
    know) do not enter the AP, but are given a cause: a right mask among them is a classification error. Raises
    InputError for masks asked for where there are boxes only, and unless 0 < ``bg_thr`` < ``iou_thr`` <= 1.
    """
    metrics = ErrorMetrics(
        categories, kind=kind, class_agnostic=class_agnostic, iou_thr=iou_thr, bg_thr=bg_thr, max_dets=max_dets
    )
    metrics.update(truth, detections)
    return metrics.compute()


class ErrorMetrics:
    """``error_breakdown`` over many batches: ``update`` per batch, ``merge`` across processes, ``compute``.

    It keeps a few numbers per instance and no masks, and can be pickled (``torch.distributed.all_gather_object``).
    Photos with ``image_ids`` count once however often they are seen (distributed samplers repeat some) and stand in the
    order of their ids: among equal scores the order of the photos decides, as in COCO. Without ids, in the order seen.
    """

    def __init__(
        self,
        categories: int,
        *,
        kind: Literal["segm", "bbox"] = "segm",
        class_agnostic: bool = False,
        iou_thr: float = 0.5,
        bg_thr: float = 0.1,
        max_dets: int = 100,
    ):
        if not 0 < bg_thr < iou_thr <= 1 or max_dets < 1:
            raise InputError(
                f"error breakdown with bg_thr {bg_thr}, iou_thr {iou_thr}, max_dets {max_dets}; expected "
                "0 < bg_thr < iou_thr <= 1 and at least 1 detection."
            )
        self.options = {
            "categories": 1 if class_agnostic else categories,
            "kind": kind,
            "class_agnostic": class_agnostic,
            "iou_thr": iou_thr,
            "bg_thr": bg_thr,
            "max_dets": max_dets,
        }
        self._parts: list[tuple[Causes, int, np.ndarray | None]] = []

    def update(
        self,
        truth: Objects,
        detections: Objects,
        sizes: Sequence[tuple[int, int]] | None = None,
        image_ids: Sequence[int] | None = None,
    ) -> None:
        """Add a batch of photos, whole: ``image`` counts within the batch. sizes: of its photos (the form of all
        evaluators: only their number matters here). Raises InputError for ids in some batches only."""
        kind = self.options["kind"]
        if kind == "segm" and (truth.rle is None or detections.rle is None):
            side = "truth" if truth.rle is None else "detections"
            raise InputError(f"error breakdown: masks asked for, but the {side} hold boxes only; ask for bbox.")
        if kind == "bbox":
            truth, detections = replace(truth, rle=None), replace(detections, rle=None)
        if self.options["class_agnostic"]:
            truth = replace(truth, category=np.zeros_like(truth.category))
            detections = replace(detections, category=np.zeros_like(detections.category))
        held = 1 + max((int(one.image.max()) for one in (truth, detections) if len(one)), default=-1)
        count = held if sizes is None else len(sizes)
        ids = None if image_ids is None else np.asarray(image_ids, np.int64).reshape(-1)
        if count < held or (ids is not None and len(ids) != count):
            given = "" if ids is None else f" and {len(ids)} image_ids"
            raise InputError(
                f"error breakdown: instances on {held} photos, but {count} sizes{given}; give one a photo."
            )
        causes = judge(truth, detections, *(self.options[name] for name in ("iou_thr", "bg_thr", "max_dets")))
        self._add((causes, count, ids))

    def _add(self, part: tuple[Causes, int, np.ndarray | None]) -> None:
        if self._parts and (self._parts[0][2] is None) != (part[2] is None):
            raise InputError("error breakdown: image_ids in some batches only; give them in all or in none.")
        self._parts.append(part)

    def merge(self, other: "ErrorMetrics") -> "ErrorMetrics":
        """Add what another one (another process's, say) has seen; returns self. Raises InputError for other options."""
        if self.options != other.options:
            raise InputError("error breakdowns with different options cannot be merged; use the same in all processes.")
        for part in other._parts:
            self._add(part)
        return self

    def compute(self) -> ErrorBreakdown:
        """The breakdown of all seen so far; its rows count through the batches in their order, without what stands on
        photos seen before."""
        parts, seen = [], 0
        known: set[int] = set()
        for causes, count, ids in self._parts:
            place = np.arange(seen, seen + count) if ids is None else ids
            seen += count
            first = np.zeros(count, bool)
            first[np.unique(place, return_index=True)[1]] = True
            fresh = first & np.array([int(one) not in known for one in place], bool)
            known.update(place.tolist())
            part = causes.select(fresh[causes.photo], fresh[causes.truth_photo])
            parts.append(replace(part, photo=place[part.photo]))
        none = make_objects([], [], xywh=[])
        return _breakdown(join_causes(parts or [judge(none, none, 0.5, 0.1, 1)]), self.options)


def _breakdown(part: Causes, options: dict) -> ErrorBreakdown:
    k = options["categories"]
    product = ~part.crowd & (part.truth_category >= 0)
    positives = np.bincount(part.truth_category[product], minlength=k)
    order = np.lexsort((np.arange(len(part.score)), part.photo, -part.score))

    def by_category(keep: np.ndarray, true: np.ndarray, category: np.ndarray, positives: np.ndarray) -> np.ndarray:
        rows = order[(keep & (category >= 0))[order]]
        return _average_precision(category[rows], true[rows], positives)

    error = part.error
    true, counted = error == TRUE_POSITIVE, error >= TRUE_POSITIVE
    base = by_category(counted, true, part.category, positives)
    mended = {}
    for cause in (CLASSIFICATION, LOCALISATION):
        hit = error == cause
        moved = hit & part.mends
        category = part.category.copy()
        category[moved] = part.truth_category[part.target[moved]]
        mended[ERRORS[cause]] = by_category(counted & ~(hit & ~moved), true | moved, category, positives)
    for cause in (BOTH, DUPLICATE, BACKGROUND):
        mended[ERRORS[cause]] = by_category(counted & (error != cause), true, part.category, positives)
    open_ = product & ~part.taken
    for name, gone in (("missed", part.missed), ("false_negative", open_)):
        left = positives - np.bincount(part.truth_category[gone], minlength=k)
        mended[name] = by_category(counted, true, part.category, left)
        wrong = np.bincount(part.category[counted & ~true & (part.category >= 0)], minlength=k)
        mended[name] = np.where((left == 0) & (wrong == 0), 1.0, mended[name])
    mended["false_positive"] = by_category(true, true, part.category, positives)
    exists = positives > 0
    delta = {name: np.where(exists, mended[name] - base, np.nan) for name in ERRORS + SPECIAL}
    counts = _counts(part, open_, k)
    return ErrorBreakdown(
        iou_thr=options["iou_thr"],
        bg_thr=options["bg_thr"],
        ap=float(base[exists].mean()) if exists.any() else -1.0,
        delta_ap={name: float(one[exists].mean()) if exists.any() else 0.0 for name, one in delta.items()},
        counts={name: int(mask.sum()) for name, (_, mask) in counts.items()},
        category_ap=np.where(exists, base, np.nan),
        category_delta_ap=delta,
        category_counts={
            name: np.bincount(category[mask & (category >= 0)], minlength=k)
            for name, (category, mask) in counts.items()
        },
        error=error,
        target=part.target,
        missed=part.missed,
    )


def _counts(part: Causes, open_: np.ndarray, k: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """cause -> the categories and which of them count."""
    found = {name: (part.category, part.error == i) for i, name in enumerate(ERRORS[:-1])}
    found["missed"] = (part.truth_category, part.missed)
    found["false_positive"] = (part.category, part.error >= 0)
    return found | {"false_negative": (part.truth_category, open_)}


def _average_precision(category: np.ndarray, true: np.ndarray, positives: np.ndarray) -> np.ndarray:
    """COCO's AP of every category, float64 (K,): precision (made non-increasing) averaged at 101 recalls; 0 without
    positives. category, true: of the detections, best first. positives: (K,)."""
    found = np.zeros(len(positives))
    for k in np.flatnonzero(positives > 0):
        hit = true[category == k]
        if not hit.any():
            continue
        hits = np.cumsum(hit)
        precision = hits / np.arange(1, len(hit) + 1)
        precision = np.maximum.accumulate(precision[::-1])[::-1]
        at = np.searchsorted(hits / positives[k], _RECALLS, side="left")
        found[k] = np.append(precision, 0.0)[at].mean()
    return found
