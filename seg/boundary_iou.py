"""Boundary IoU of instances (Cheng et al., 2021): the IoU of the bands along two masks' inner rims."""

from collections.abc import Sequence

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from ..datasets import masks
from .coco_engines import PairIou
from .objects import Objects

BAND_RATIO = 0.02  # of the photo's diagonal


def inner_band(mask: np.ndarray, band_px: int) -> np.ndarray:
    """uint8 (h, w) of a mask (h, w), 0 or 1: its pixels within ``band_px`` (chessboard distance) of a pixel outside.

    What lies beyond the photo is outside, so a product cut by the frame has a rim there.
    """
    side = 2 * band_px + 1
    inside = cv2.erode(mask, np.ones((side, side), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return mask - inside


def boundary_rle(rle: dict, band_ratio: float = BAND_RATIO) -> dict:
    """The mask's inner band, ``band_ratio`` of the diagonal wide (one pixel at least), as RLE of the photo."""
    height, width = rle["size"]
    band_px = max(1, round(band_ratio * float(np.hypot(height, width))))
    x, y, w, h = (int(v) for v in masks.xywh(rle))
    if not w or not h:
        return rle
    window = masks.decode(rle)[y : y + h, x : x + w]  # beyond its box the mask is empty, as beyond the photo
    return masks.encode_crop(inner_band(np.ascontiguousarray(window), band_px), x, y, height, width)


def boundary_pair_iou(truth: Objects, detections: Objects) -> PairIou:
    """For the engine: rows of truth and detections of one photo -> the lower of mask and boundary IoU, float64
    (detections, truths). Against a crowd region both are shares of the detection, as in COCO."""
    bands: list[Sequence[dict]] = [[boundary_rle(rle) for rle in objects.rle] for objects in (truth, detections)]

    def pair_iou(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        if not len(rows) or not len(columns):
            return np.zeros((len(columns), len(rows)))
        crowd = truth.crowd[rows].astype(np.uint8).tolist()
        sides = ((truth.rle, detections.rle), (bands[0], bands[1]))
        ious = [coco_mask.iou([d[j] for j in columns], [t[i] for i in rows], crowd) for t, d in sides]
        return np.minimum(*ious)

    return pair_iou
