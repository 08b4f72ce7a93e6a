"""One product found in a photo, before anything is known of it but its mask."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..datasets import masks


@dataclass(frozen=True, eq=False)
class Segment:
    """A mask kept as the crop of its box.

    xyxy: whole px of the photo, exclusive end. mask: bool (y1 - y0, x1 - x0). size: (h, w) of the photo.
    score: 0..1. label: the category's name where the segmenter tells it.
    """

    xyxy: tuple[int, int, int, int]
    mask: np.ndarray
    size: tuple[int, int]
    score: float = 1.0
    label: str | None = None

    def full_mask(self) -> np.ndarray:
        """uint8 (h, w) of the whole photo, Fortran-ordered, as the run-length encoder wants it."""
        x0, y0, x1, y1 = self.xyxy
        full = np.zeros(self.size, np.uint8, order="F")
        full[y0:y1, x0:x1] = self.mask
        return full

    def rle(self) -> dict[str, Any]:
        """COCO RLE on the whole photo."""
        return masks.encode_crop(self.mask, self.xyxy[0], self.xyxy[1], *self.size)


def intersection_px(one: Segment, other: Segment) -> int:
    """How many pixels both masks, of one photo, have in common."""
    x0, y0 = max(one.xyxy[0], other.xyxy[0]), max(one.xyxy[1], other.xyxy[1])
    x1, y1 = min(one.xyxy[2], other.xyxy[2]), min(one.xyxy[3], other.xyxy[3])
    if x0 >= x1 or y0 >= y1:
        return 0
    parts = [s.mask[y0 - s.xyxy[1] : y1 - s.xyxy[1], x0 - s.xyxy[0] : x1 - s.xyxy[0]] for s in (one, other)]
    return int(np.count_nonzero(parts[0] & parts[1]))


def segment_from_rle(rle: dict[str, Any], score: float = 1.0, label: str | None = None) -> Segment | None:
    """The segment of a COCO RLE on the whole photo; None for an empty mask."""
    x, y, width, height = (round(v) for v in masks.xywh(rle))
    if width == 0 or height == 0:
        return None
    mask = masks.decode(rle)[y : y + height, x : x + width].astype(bool)
    return Segment((x, y, x + width, y + height), mask, tuple(rle["size"]), score, label)
