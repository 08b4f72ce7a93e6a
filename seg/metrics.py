"""How good masks are: IoU of areas, F-measure and IoU of boundaries."""

from typing import Any

import cv2
import numpy as np

from ..datasets.errors import InputError


def binary_iou(pred: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union of two masks (h, w), not 0 = inside. 1 when both are empty, 0 when one is."""
    pred, truth = _pair(pred, truth)
    union = np.count_nonzero(pred | truth)
    return float(np.count_nonzero(pred & truth) / union) if union else 1.0


class MeanIoU:
    """IoU of every class over all pixels of all photos seen, from one confusion matrix.

    ``confusion``: int64 (num_classes, num_classes), rows are the truth. Labels are 0..num_classes - 1; pixels whose
    truth is ``ignore_index`` do not count.
    """

    def __init__(self, num_classes: int, ignore_index: int | None = None):
        if num_classes < 1:
            raise InputError(f"MeanIoU of {num_classes} classes; expected at least 1")
        self.num_classes, self.ignore_index = num_classes, ignore_index
        self.confusion = np.zeros((num_classes, num_classes), np.int64)

    def update(self, pred: np.ndarray, truth: np.ndarray) -> None:
        """Add label maps of one shape, whole numbers. Raises InputError for a label outside 0..num_classes - 1."""
        pred, truth = np.asarray(pred), np.asarray(truth)
        if pred.shape != truth.shape:
            raise InputError(
                f"a prediction of shape {pred.shape} and a truth of shape {truth.shape}; expected the same"
            )
        if self.ignore_index is not None:
            counted = truth != self.ignore_index
            pred, truth = pred[counted], truth[counted]
        for name, labels in (("prediction", pred), ("truth", truth)):
            if labels.size and not (labels.min() >= 0 and labels.max() < self.num_classes):
                raise InputError(
                    f"the {name} has labels {labels.min()}..{labels.max()}; expected 0..{self.num_classes - 1}"
                )
        cells = truth.astype(np.int64).ravel() * self.num_classes + pred.ravel()
        self.confusion += np.bincount(cells, minlength=self.num_classes**2).reshape(self.confusion.shape)

    def merge(self, other: "MeanIoU") -> None:
        """Add what another one (another process's, say) has seen."""
        if (other.num_classes, other.ignore_index) != (self.num_classes, self.ignore_index):
            raise InputError("two MeanIoU with different classes or ignore_index cannot be merged")
        self.confusion += other.confusion

    def compute(self) -> dict[str, Any]:
        """``miou``: mean IoU of the classes that occur in truth or prediction (nan when none does); ``iou``: float64
        (num_classes,), nan for the others; ``pixel_accuracy``: share of pixels labelled right."""
        hits = np.diag(self.confusion)
        union = self.confusion.sum(0) + self.confusion.sum(1) - hits
        iou = np.where(union > 0, hits / np.maximum(union, 1), np.nan)
        seen = self.confusion.sum()
        return {
            "miou": float(iou[union > 0].mean()) if (union > 0).any() else float("nan"),
            "iou": iou,
            "pixel_accuracy": float(hits.sum() / seen) if seen else float("nan"),
        }


def boundary_f(pred: np.ndarray, truth: np.ndarray, tolerance_px: float, ignore: np.ndarray | None = None) -> float:
    """F-measure of boundaries: the harmonic mean of the share of the prediction's boundary that lies within
    ``tolerance_px`` of the truth's (precision) and the share of the truth's within it of the prediction's (recall).

    Csurka et al., "What is a good evaluation measure for semantic segmentation?", BMVC 2013; used as F by the DAVIS
    benchmark (Perazzi et al., CVPR 2016). Masks (h, w), not 0 = inside. Boundary = pixels inside with one of their 4
    neighbours outside; the photo's edge is none. Distances are Euclidean between pixel centres. Where neither mask has
    a boundary (empty, or the whole photo): 1 if both are the same, else 0; where one has none: 0. ignore: bool (h, w),
    pixels that do not count; neither do boundaries on them or beside them (one of their 8 neighbours).
    """
    pred, truth = _pair(pred, truth)
    rims = _rim(pred), _rim(truth)
    if ignore is not None and ignore.any():
        counted = cv2.dilate(ignore.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0
        rims = tuple(rim & counted for rim in rims)
        pred, truth = pred & ~ignore, truth & ~ignore
    lengths = [np.count_nonzero(rim) for rim in rims]
    if not any(lengths):
        return float(np.array_equal(pred, truth))
    if not all(lengths):
        return 0.0
    precision, recall = (
        np.count_nonzero(_near(other, tolerance_px) & rim) / length
        for rim, other, length in zip(rims, rims[::-1], lengths, strict=True)
    )
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def boundary_iou(pred: np.ndarray, truth: np.ndarray, distance_px: int) -> float:
    """IoU of the parts of two masks (h, w) within ``distance_px`` (chessboard) of their boundaries, on the inside; the
    photo's edge counts as boundary. Cheng et al., "Boundary IoU", CVPR 2021 (there: 2 % of the diagonal).
    1 when both masks are empty."""
    bands = []
    for mask in _pair(pred, truth):
        padded = cv2.copyMakeBorder(mask.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
        core = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=distance_px)[1:-1, 1:-1]
        bands.append(mask & (core == 0))
    return binary_iou(*bands)


def _pair(pred: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    pred, truth = np.asarray(pred), np.asarray(truth)
    if pred.shape != truth.shape or pred.ndim != 2:
        raise InputError(f"masks of shapes {pred.shape} and {truth.shape}; expected two of the same (h, w)")
    return (np.ascontiguousarray(mask if mask.dtype == bool else mask != 0) for mask in (pred, truth))


def _rim(mask: np.ndarray) -> np.ndarray:
    """bool (h, w): pixels inside with a 4-neighbour outside."""
    # Repeating the edge makes the photo's edge no boundary.
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    core = cv2.erode(mask.view(np.uint8), cross, borderType=cv2.BORDER_REPLICATE)
    return mask & (core == 0)


def _near(rim: np.ndarray, tolerance_px: float) -> np.ndarray:
    """bool (h, w): pixels whose centre lies within the tolerance of a rim pixel's (Euclidean)."""
    reach = tolerance_px + 1e-3
    if reach > 8:
        far = cv2.distanceTransform((~rim).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        return far <= reach
    # The same as a dilation with a disc, which is several times faster while the disc is small.
    steps = np.arange(-int(reach), int(reach) + 1)
    disc = (steps[:, None] ** 2 + steps**2 <= reach**2).astype(np.uint8)
    return cv2.dilate(rim.view(np.uint8), disc, borderType=cv2.BORDER_CONSTANT, borderValue=0).view(bool)
