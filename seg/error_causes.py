"""Which cause each false positive and each missed product is given: the matching behind ``error_breakdown``."""

from dataclasses import dataclass

import numpy as np

from .coco_eval import Objects
from .matching import coco_match, photo_ious, strongest

ERRORS = ("classification", "localisation", "both", "duplicate", "background", "missed")

# What became of a detection; the errors are numbered as in ERRORS.
TRUE_POSITIVE, EXCUSED, CUT = -1, -2, -3
CLASSIFICATION, LOCALISATION, BOTH, DUPLICATE, BACKGROUND = range(5)


@dataclass(frozen=True)
class Causes:
    """Columns of m detections and n products. photo, truth_photo: int64, the photo of each. error: int8 (m,), index into
    ERRORS, or TRUE_POSITIVE, EXCUSED, CUT. target: int64 (m,), the product that it is about, or -1. mends: bool (m,),
    the detection of a classification or localisation error that a mend turns into a true positive (one a product, the
    most confident). taken, missed: bool (n,)."""

    photo: np.ndarray
    category: np.ndarray
    score: np.ndarray
    error: np.ndarray
    target: np.ndarray
    mends: np.ndarray
    truth_photo: np.ndarray
    truth_category: np.ndarray
    crowd: np.ndarray
    taken: np.ndarray
    missed: np.ndarray

    def select(self, detections: np.ndarray, products: np.ndarray) -> "Causes":
        """Those where bool (m,) and (n,) hold; no kept detection may aim at a product that goes."""
        place = np.append(np.cumsum(products) - 1, -1)  # -1 stays -1
        columns = {}
        for name, column in vars(self).items():
            of_truth = name in ("truth_photo", "truth_category", "crowd", "taken", "missed")
            columns[name] = column[products if of_truth else detections]
        return Causes(**columns | {"target": place[columns["target"]]})


def join_causes(parts: list[Causes]) -> Causes:
    """One after the other."""
    starts = np.cumsum([0] + [len(part.crowd) for part in parts])
    targets = [np.where(part.target >= 0, part.target + start, -1) for part, start in zip(parts, starts, strict=False)]
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])}
    return Causes(**columns | {"target": np.concatenate(targets)})


def _blank(truth: Objects, detections: Objects) -> Causes:
    """Nothing matched yet: all detections background, all products missed."""
    m, n = len(detections), len(truth)
    return Causes(
        photo=detections.image,
        category=detections.category,
        score=detections.score,
        error=np.full(m, BACKGROUND, np.int8),
        target=np.full(m, -1, np.int64),
        mends=np.zeros(m, bool),
        truth_photo=truth.image,
        truth_category=truth.category,
        crowd=truth.crowd,
        taken=np.zeros(n, bool),
        missed=~truth.crowd & (truth.category >= 0),
    )


def judge(truth: Objects, detections: Objects, iou_thr: float, bg_thr: float, max_dets: int) -> Causes:
    """Causes as the text of ``error_breakdown`` has them. IoU of masks where both sides hold masks, else of boxes."""
    part = _blank(truth, detections)
    part.error[~strongest(detections, max_dets)] = CUT
    for rows, columns, iou in photo_ious(truth, detections):
        known = truth.category[rows] >= 0
        rows, iou = rows[known], iou[known]
        kept = part.error[columns] != CUT
        columns, iou = columns[kept], iou[:, kept]
        order = np.argsort(-detections.score[columns], kind="stable")
        if len(rows):
            _judge_photo(part, rows, columns[order], iou[:, order], iou_thr, bg_thr)
    return part


def _judge_photo(
    part: Causes, rows: np.ndarray, columns: np.ndarray, iou: np.ndarray, iou_thr: float, bg_thr: float
) -> None:
    """Fill in ``part`` for one photo: its products ``rows`` (n,), its detections ``columns`` (m,), best score first."""
    crowd = part.crowd[rows][:, None]
    same = part.truth_category[rows][:, None] == part.category[columns]
    own = np.where(same & ~crowd, iou, 0.0)
    other = np.where(same | crowd, 0.0, iou)
    iou_thr = min(iou_thr, 1 - 1e-10)
    partner = coco_match(own, np.array([iou_thr]))[0]
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
        [TRUE_POSITIVE, EXCUSED, LOCALISATION, CLASSIFICATION, DUPLICATE, BACKGROUND],
        BOTH,
    )
    target = np.select(
        [true, error == CLASSIFICATION, (error == LOCALISATION) | (error == DUPLICATE)],
        [partner, other.argmax(axis=0), own.argmax(axis=0)],
        -1,
    )
    taken = np.zeros(len(rows), bool)
    taken[partner[true]] = True
    mendable = np.flatnonzero(((error == CLASSIFICATION) | (error == LOCALISATION)) & ~taken[target])
    aims, first = np.unique(target[mendable], return_index=True)
    part.error[columns] = error
    part.target[columns] = np.where(target >= 0, rows[target], -1)
    part.mends[columns[mendable[first]]] = True
    part.taken[rows] = taken
    part.missed[rows] &= ~taken
    part.missed[rows[aims]] = False
