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
from .coco_eval import Objects
from .matching import photo_ious

ERRORS = ("classification", "localisation", "both", "duplicate", "background", "missed")
SPECIAL = ("false_positive", "false_negative")

# What became of a detection; the errors are numbered as in ERRORS.
TRUE_POSITIVE, EXCUSED, CUT = -1, -2, -3
_CLASSIFICATION, _LOCALISATION, _BOTH, _DUPLICATE, _BACKGROUND = range(5)

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

    It keeps a few numbers per instance and no masks. Among equal scores the order of the photos decides, as in COCO:
    give ``photos`` for figures that do not depend on how photos are dealt out to batches and processes.
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
        self._parts: list[_Part] = []
        self._photos = 0

    def update(
        self,
        truth: Objects,
        detections: Objects,
        sizes: Sequence[tuple[int, int]] | None = None,
        *,
        photos: Sequence[int] | None = None,
    ) -> None:
        """Add a batch of photos, whole: ``image`` counts within the batch. sizes: one entry per photo of the batch (the
        form of all evaluators; only their number matters). photos: the position of each in the whole set; by default
        in the order of the updates."""
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
        place = np.arange(self._photos, self._photos + count) if photos is None else np.asarray(photos, np.int64)
        if len(place) < held:
            raise InputError(f"error breakdown: instances on {held} photos, but {len(place)} photos; give all of them.")
        self._photos = max(self._photos, int(place.max()) + 1 if len(place) else 0)
        part = _judged(truth, detections, self.options["iou_thr"], self.options["bg_thr"], self.options["max_dets"])
        self._parts.append(replace(part, photo=place[detections.image]))

    def merge(self, other: "ErrorMetrics") -> None:
        """Add what another one (another process's, say) has seen. Raises InputError for other options."""
        if self.options != other.options:
            raise InputError("error breakdowns with different options cannot be merged; use the same in all processes.")
        self._parts += other._parts
        self._photos = max(self._photos, other._photos)

    def compute(self) -> ErrorBreakdown:
        """The breakdown of all seen so far; target, missed and error count through the batches in their order."""
        return _breakdown(_joined(self._parts), self.options)


@dataclass(frozen=True)
class _Part:
    """Columns of m detections (photo, category, score, error, target, mends: bool, the one that a mend turns into a
    true positive) and of n products (truth_category, crowd, taken, missed)."""

    photo: np.ndarray
    category: np.ndarray
    score: np.ndarray
    error: np.ndarray
    target: np.ndarray
    mends: np.ndarray
    truth_category: np.ndarray
    crowd: np.ndarray
    taken: np.ndarray
    missed: np.ndarray


def _joined(parts: list[_Part]) -> _Part:
    if not parts:
        return _blank(np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64), np.zeros(0, bool))
    offsets = np.cumsum([0] + [len(part.crowd) for part in parts])
    parts = [
        replace(part, target=np.where(part.target >= 0, part.target + offset, -1))
        for part, offset in zip(parts, offsets, strict=False)
    ]
    return _Part(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])})


def _blank(category: np.ndarray, score: np.ndarray, truth_category: np.ndarray, crowd: np.ndarray) -> _Part:
    """Nothing matched yet: all detections background, all products missed."""
    m, n = len(category), len(truth_category)
    return _Part(
        photo=np.zeros(m, np.int64),
        category=category,
        score=score,
        error=np.full(m, _BACKGROUND, np.int8),
        target=np.full(m, -1, np.int64),
        mends=np.zeros(m, bool),
        truth_category=truth_category,
        crowd=crowd,
        taken=np.zeros(n, bool),
        missed=~crowd & (truth_category >= 0),
    )


def _judged(truth: Objects, detections: Objects, iou_thr: float, bg_thr: float, max_dets: int) -> _Part:
    part = _blank(detections.category, detections.score, truth.category, truth.crowd)
    part.error[_past(detections, max_dets)] = CUT
    for rows, columns, iou in photo_ious(truth, detections):
        known = truth.category[rows] >= 0
        rows, iou = rows[known], iou[known]
        kept = part.error[columns] != CUT
        columns, iou = columns[kept], iou[:, kept]
        order = np.argsort(-detections.score[columns], kind="stable")
        if len(rows):
            _judge_photo(part, rows, columns[order], iou[:, order], iou_thr, bg_thr)
    return part


def _past(detections: Objects, max_dets: int) -> np.ndarray:
    """bool (m,): past the best ``max_dets`` of its photo and category."""
    order = np.lexsort((-detections.score, detections.category, detections.image))
    keys = np.column_stack([detections.image, detections.category])[order]
    starts = np.flatnonzero(np.r_[True, (keys[1:] != keys[:-1]).any(axis=1)]) if len(order) else np.zeros(0, int)
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    past = np.zeros(len(order), bool)
    past[order] = rank >= max_dets
    return past


def _judge_photo(
    part: _Part, rows: np.ndarray, columns: np.ndarray, iou: np.ndarray, iou_thr: float, bg_thr: float
) -> None:
    """Fill in ``part`` for one photo: its products ``rows`` (n,), its detections ``columns`` (m,), best score first."""
    crowd = part.crowd[rows][:, None]
    same = part.truth_category[rows][:, None] == part.category[columns]
    own = np.where(same & ~crowd, iou, 0.0)
    other = np.where(same | crowd, 0.0, iou)
    iou_thr = min(iou_thr, 1 - 1e-10)
    partner = _coco_match(own, iou_thr)
    true = partner >= 0
    excused = ~true & (same & crowd & (iou >= iou_thr)).any(axis=0)
    own_best, other_best = own.max(axis=0), other.max(axis=0)
    error = np.select(
        [
            true,
            excused,
            (own_best >= bg_thr) & (own_best < iou_thr),
            other_best >= iou_thr,
            own_best >= iou_thr,
            np.maximum(own_best, other_best) <= bg_thr,
        ],
        [TRUE_POSITIVE, EXCUSED, _LOCALISATION, _CLASSIFICATION, _DUPLICATE, _BACKGROUND],
        _BOTH,
    )
    target = np.select(
        [true, error == _CLASSIFICATION, (error == _LOCALISATION) | (error == _DUPLICATE)],
        [partner, other.argmax(axis=0), own.argmax(axis=0)],
        -1,
    )
    taken = np.zeros(len(rows), bool)
    taken[partner[true]] = True
    mendable = np.flatnonzero(((error == _CLASSIFICATION) | (error == _LOCALISATION)) & ~taken[target])
    aims, first = np.unique(target[mendable], return_index=True)
    part.error[columns] = error
    part.target[columns] = np.where(target >= 0, rows[target], -1)
    part.mends[columns[mendable[first]]] = True
    part.taken[rows] = taken
    part.missed[rows] &= ~taken
    part.missed[rows[aims]] = False


def _coco_match(own: np.ndarray, iou_thr: float) -> np.ndarray:
    """COCO's matching: each detection in turn (columns of ``own`` (n, m), best score first) takes the open product with
    the highest IoU >= ``iou_thr``, the last of equals. int64 (m,): the product's row, or -1."""
    partner = np.full(own.shape[1], -1, np.int64)
    remaining = own.copy()
    for j in np.flatnonzero((own >= iou_thr).any(axis=0)):
        column = remaining[::-1, j]
        i = len(column) - 1 - int(column.argmax())
        if remaining[i, j] >= iou_thr:
            partner[j] = i
            remaining[i] = -1.0
    return partner


def _breakdown(part: _Part, options: dict) -> ErrorBreakdown:
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
    for cause in (_CLASSIFICATION, _LOCALISATION):
        hit = error == cause
        moved = hit & part.mends
        category = part.category.copy()
        category[moved] = part.truth_category[part.target[moved]]
        mended[ERRORS[cause]] = by_category(counted & ~(hit & ~moved), true | moved, category, positives)
    for cause in (_BOTH, _DUPLICATE, _BACKGROUND):
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


def _counts(part: _Part, open_: np.ndarray, k: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
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
