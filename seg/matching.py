"""Which detection is which product: one-to-one matches by IoU, and the best detection of every true product.

Category-blind: in this toolkit a category is something that is read from a product, like its colour, so a right mask
with a wrong category is a found product with a wrong category.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from pycocotools import mask as coco_mask

from ..datasets import masks
from .coco_eval import Objects
from .metrics import boundary_f

try:
    from hotcoco import mask as fast_mask
except ImportError:
    fast_mask = None


@dataclass(frozen=True)
class Matches:
    """truth, detection: int64 (k,), rows that belong together; iou: float64 (k,).

    best_iou: float64 (n,), per true instance the highest IoU with any detection of its photo, 0 without one;
    best_detection: int64 (n,), its row, or -1. excused: bool (m,), unmatched detections that lie on a crowd region (at
    least ``iou_thr`` of their own area): neither right nor wrong. Crowd regions themselves are never matched.
    """

    truth: np.ndarray
    detection: np.ndarray
    iou: np.ndarray
    best_iou: np.ndarray
    best_detection: np.ndarray
    excused: np.ndarray


def match(truth: Objects, detections: Objects, *, iou_thr: float = 0.5) -> Matches:
    """Greedy one-to-one matching, per photo, highest IoU first (then score, then file order), IoU >= ``iou_thr``.

    IoU of masks where both sides hold masks, of boxes otherwise.
    """
    best_iou, best_detection = np.zeros(len(truth)), np.full(len(truth), -1, np.int64)
    excused = np.zeros(len(detections), bool)
    pairs: list[tuple[int, int, float]] = []
    for rows, columns, iou in photo_ious(truth, detections):
        crowd = truth.crowd[rows]
        product_iou = np.where(crowd[:, None], 0.0, iou)
        top = product_iou.argmax(axis=1)
        best_iou[rows] = product_iou[np.arange(len(rows)), top]
        best_detection[rows] = np.where(best_iou[rows] > 0, columns[top], -1)
        taken = greedy(product_iou, detections.score[columns], iou_thr)
        pairs += [(rows[i], columns[j], iou[i, j]) for i, j in taken]
        excused[columns] = (iou[crowd] >= iou_thr).any(axis=0)
    matched = np.array([(i, j) for i, j, _ in pairs], np.int64).reshape(-1, 2)
    excused[matched[:, 1]] = False
    ious = np.array([iou for _, _, iou in pairs], np.float64)
    return Matches(matched[:, 0], matched[:, 1], ious, best_iou, best_detection, excused)


def greedy(iou: np.ndarray, score: np.ndarray, iou_thr: float) -> list[tuple[int, int]]:
    """Rows and columns of ``iou`` (n, m) paired one-to-one, highest value first. ``score`` (m,) breaks ties."""
    rows, columns = np.nonzero((iou >= iou_thr) & (iou > 0))
    order = np.lexsort((columns, rows, -score[columns], -iou[rows, columns]))
    taken: list[tuple[int, int]] = []
    used_rows, used_columns = set(), set()
    for i, j in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if i not in used_rows and j not in used_columns:
            used_rows.add(i)
            used_columns.add(j)
            taken.append((i, j))
    return taken


def strongest(detections: Objects, max_dets: int) -> np.ndarray:
    """bool (m,): among the ``max_dets`` best of its photo and category."""
    order = np.lexsort((-detections.score, detections.category, detections.image))
    group = np.stack([detections.image[order], detections.category[order]])
    starts = np.r_[True, (group[:, 1:] != group[:, :-1]).any(axis=0)] if len(order) else np.zeros(0, bool)
    place = np.arange(len(order)) - np.maximum.accumulate(np.where(starts, np.arange(len(order)), 0))
    kept = np.empty(len(order), bool)
    kept[order] = place < max_dets
    return kept


def coco_match(iou: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """COCOeval's matching in one photo: int64 (T, m), the row that each detection takes at each threshold, or -1.

    iou: (n, m), detections by falling score, crowd regions not among the rows. A detection takes the free row of highest
    IoU, of several equal ones the last.
    """
    found = np.full((len(thresholds), iou.shape[1]), -1, np.int64)
    rows = np.arange(len(iou))[::-1]  # argmax takes the first of equals: COCO's is the last
    free = np.ones((len(thresholds), len(rows)), bool)
    cells = np.arange(len(thresholds))
    for j in np.flatnonzero((iou >= thresholds.min(initial=np.inf)).any(axis=0)):
        value = np.where(free, iou[rows, j], -1.0)
        best = value.argmax(axis=1)
        taken = value[cells, best] >= thresholds
        found[taken, j] = rows[best[taken]]
        free[cells[taken], best[taken]] = False
    return found


def photo_ious(truth: Objects, detections: Objects) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Per photo with both: truth rows (n,), detection rows (m,), IoU float64 (n, m).

    Against a crowd region the value is the share of the detection that lies on it, as COCO has it.
    """
    by_photo = _rows_by_photo(detections.image)
    masked = truth.rle is not None and detections.rle is not None
    for photo, rows in _rows_by_photo(truth.image).items():
        columns = by_photo.get(photo)
        if columns is None:
            continue
        if masked:
            left, right = [detections.rle[j] for j in columns], [truth.rle[i] for i in rows]
        else:
            left, right = detections.xywh[columns], truth.xywh[rows]
        iou = coco_mask.iou(left, right, truth.crowd[rows].astype(np.uint8).tolist())
        yield rows, columns, np.asarray(iou, np.float64).T


def _rows_by_photo(image: np.ndarray) -> dict[int, np.ndarray]:
    order = np.argsort(image, kind="stable")
    photos, starts = np.unique(image[order], return_index=True)
    return dict(zip(photos.tolist(), np.split(order, starts[1:]), strict=True)) if len(image) else {}


def best_boundary_f(truth: Objects, detections: Objects, matches: Matches, *, tolerance_px: int = 3) -> np.ndarray:
    """Boundary F of every true instance with its best detection, float64 (n,); 0 where no detection touches it."""
    found = np.zeros(len(truth))
    for i, j in enumerate(matches.best_detection):
        if j >= 0:
            found[i] = _boundary_f(detections.rle[j], truth.rle[i], tolerance_px)
    return found


def _boundary_f(pred: dict, truth: dict, tolerance_px: int) -> float:
    """Inside the two masks' common box, grown so far that no pixel within the tolerance is cut off."""
    boxes = np.array([masks.xywh(pred), masks.xywh(truth)])
    margin = tolerance_px + 2
    height, width = truth["size"]
    x0, y0 = np.maximum(np.floor(boxes[:, :2].min(axis=0)).astype(int) - margin, 0)
    x1, y1 = np.ceil((boxes[:, :2] + boxes[:, 2:]).max(axis=0)).astype(int) + margin
    window = np.s_[x0 : min(x1, width), y0 : min(y1, height)]  # lying on their side: that is how an RLE runs
    return float(boundary_f(_on_its_side(pred)[window], _on_its_side(truth)[window], tolerance_px))


def _on_its_side(rle: dict) -> np.ndarray:
    """uint8 (w, h): the mask, transposed. hotcoco decodes in a fifth of the time; a boundary does not mind."""
    return (fast_mask.decode(rle) if fast_mask is not None else masks.decode(rle)).T
