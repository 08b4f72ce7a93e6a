"""COCO AP of many draws of the photos: what a bootstrap interval of AP, or of the difference of two, is made of.

AP is no mean over photos, so a draw has to sort and sum again; but which detection is right does not depend on which
photos are drawn. So every photo is matched once, and a draw only weighs its detections and its truth by how often the
photo was drawn: exactly the AP of a set in which it lies that often (but for detections of equal score in one photo
and category, whose order is arbitrary anyway).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ..datasets.errors import InputError
from .coco_eval import CocoParams, Objects
from .matching import coco_match, photo_ious, strongest
from .pairing import Pairing

IOU_THRS = tuple(np.linspace(0.5, 0.95, 10).tolist())
MAX_DETECTIONS = 100
_RECALLS = np.linspace(0, 1, 101)
_CHUNK_CELLS = 4_000_000  # draws x detections at a time: about 32 MB an array


@dataclass(frozen=True)
class Ranked:
    """The detections of one category, highest score first (ties in the order of the photos, as COCO has it).

    image: int64 (n,), photo; right: bool (T, n), matches a true instance at each threshold; counted: bool (T, n), False
    for those matched to a crowd region, which are neither right nor wrong. truth: int64 (I,), true instances per photo.
    """

    image: np.ndarray
    right: np.ndarray
    counted: np.ndarray
    truth: np.ndarray


def ranked(
    truth: Objects,
    detections: Objects,
    *,
    images: int,
    categories: int,
    kind: Literal["segm", "bbox"] = "segm",
    class_agnostic: bool = False,
    iou_thrs: Sequence[float] = IOU_THRS,
    max_dets: int = MAX_DETECTIONS,
) -> list[Ranked]:
    """Match once, as COCOeval does (all sizes, ``max_dets`` of a photo and category): one entry per category.

    images, categories: how many there are. Instances of category -1 take no part, unless ``class_agnostic``. Raises
    InputError for ``kind="segm"`` without masks.
    """
    if kind == "segm" and (truth.rle is None or detections.rle is None):
        raise InputError("ranked: segm needs masks on both sides; ask for bbox.")
    if kind == "bbox":
        truth, detections = replace(truth, rle=None), replace(detections, rle=None)
    if class_agnostic:
        categories = 1
        truth = replace(truth, category=np.zeros_like(truth.category))
        detections = replace(detections, category=np.zeros_like(detections.category))
    thresholds = np.minimum(np.asarray(iou_thrs, np.float64), 1 - 1e-10)
    kept = strongest(detections, max_dets)
    right = np.zeros((len(thresholds), len(detections)), bool)
    counted = np.ones_like(right)
    for rows, columns, iou in photo_ious(truth, detections):
        for category in np.intersect1d(truth.category[rows], detections.category[columns]):
            if category < 0:
                continue
            i, j = (
                np.flatnonzero(truth.category[rows] == category),
                np.flatnonzero(detections.category[columns] == category),
            )
            j = j[kept[columns[j]]]
            j = j[np.argsort(-detections.score[columns[j]], kind="stable")]
            crowd = truth.crowd[rows[i]]
            hit = coco_match(iou[np.ix_(i[~crowd], j)], thresholds) >= 0
            # Only where no product is left: a crowd region, which many may share.
            reached = iou[np.ix_(i[crowd], j)].max(axis=0, initial=-1.0) >= thresholds[:, None]
            right[:, columns[j]], counted[:, columns[j]] = hit, hit | ~reached
    found = []
    for category in range(categories):
        index = np.flatnonzero((detections.category == category) & kept)
        # Photo by photo, each by score, then all by score: ties keep the order of the photos.
        index = index[np.lexsort((-detections.score[index], detections.image[index]))]
        index = index[np.argsort(-detections.score[index], kind="stable")]
        true = truth.image[(truth.category == category) & ~truth.crowd]
        counts = np.bincount(true, minlength=images).astype(np.int64)
        found.append(Ranked(detections.image[index], right[:, index], counted[:, index], counts))
    return found


def pairing_ranked(
    pairing: Pairing, *, kind: Literal["segm", "bbox"], class_agnostic: bool, params: CocoParams
) -> list[Ranked]:
    """`ranked` of a pairing, at the IoUs and the most detections of ``params``."""
    return ranked(
        pairing.truth,
        pairing.detections,
        images=len(pairing.images),
        categories=len(pairing.categories),
        kind=kind,
        class_agnostic=class_agnostic,
        iou_thrs=params.iou_thrs,
        max_dets=params.max_dets[-1],
    )


def average_precision(table: Sequence[Ranked], weights: np.ndarray) -> np.ndarray:
    """AP of b draws at every threshold, float64 (b, T): the mean over the categories that occur in the draw.

    weights: whole numbers (b, I), how often each photo is drawn. NaN where a draw holds no true instance.
    """
    total = np.zeros((len(weights), len(table[0].right) if table else 0))
    occurs = np.zeros(len(weights))
    for one in table:
        size = weights @ one.truth.astype(np.float64)
        occurs += size > 0
        step = max(1, _CHUNK_CELLS // max(len(one.image), 1))
        for start in range(0, len(weights), step):
            part = slice(start, start + step)
            total[part] += _category(one, weights[part].astype(np.int32), size[part].astype(np.int64))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(occurs > 0, 1.0, np.nan)[:, None] * total / occurs[:, None]


def _category(one: Ranked, weights: np.ndarray, size: np.ndarray) -> np.ndarray:
    """float64 (b, T): AP of one category, 0 in draws without truth. weights int32 (b, I), size int64 (b,)."""
    found = np.zeros((len(weights), len(one.right)))
    if not len(one.image) or not one.right.any():
        return found
    # Detections down, draws across: all that follows runs along contiguous rows.
    own = np.ascontiguousarray(weights.T)[one.image]
    everything = own.cumsum(axis=0, dtype=np.int32)
    reached, first = _recalls_reached(size)
    for t, (right, counted) in enumerate(zip(one.right, one.counted, strict=True)):
        # Precision only rises at right detections, so its upper envelope is made of those alone.
        places = np.flatnonzero(right & counted)
        if not len(places):
            continue
        seen = everything if counted.all() else (own * counted[:, None]).cumsum(axis=0, dtype=np.int32)
        hits = own[places].cumsum(axis=0, dtype=np.int32)
        precision = hits / np.maximum(seen[places], 1)
        envelope = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
        # How many of the 101 recalls each right detection is the first to reach.
        steps = np.diff(reached[first + hits], axis=0, prepend=0)
        found[:, t] = np.einsum("pb,pb->b", envelope, steps) / len(_RECALLS)
    found[size == 0] = 0
    return found


def _recalls_reached(size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many of COCO's 101 recalls so many of ``size`` true instances reach, recall and thresholds compared as floats:
    int32 (n,), and where in it the counts of each draw begin, int64 (b,)."""
    sizes, draw = np.unique(np.maximum(size, 1), return_inverse=True)
    tables = [np.searchsorted(_RECALLS, np.arange(n + 1) / n, side="right") for n in sizes.tolist()]
    return np.concatenate(tables).astype(np.int32), (np.cumsum(sizes + 1) - sizes - 1)[draw]
