"""Photos of any sizes to batches of a network's input size."""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from ..datasets.transforms import GROUND, content_size


def shrink(image: np.ndarray, size_px: int) -> np.ndarray:
    """Resize (h, w, 3) so that the longest side is ``size_px``; smaller photos are enlarged to what training saw."""
    height, width = content_size(image.shape[:2], size_px)
    how = cv2.INTER_AREA if size_px < max(image.shape[:2]) else cv2.INTER_LINEAR
    return cv2.resize(image, (width, height), interpolation=how)


def letterbox_batches(
    images: Sequence[np.ndarray], size_px: int, border: int = cv2.BORDER_CONSTANT, most_pixels: int | None = None
) -> Iterator[tuple[list[int], np.ndarray, list[tuple[int, int]]]]:
    """Batches of photos whose padded shapes are equal: no pixel is wasted on a larger neighbour's shape, and what is
    found in a photo does not depend on which others came along.

    images: uint8 (h, w, 3). Yields (positions in ``images``, uint8 (n, h', w', 3) with h' and w' multiples of 32,
    (h, w) of each photo in it, at the upper left). ``border``: OpenCV's; constant is the mean of ImageNet's photos.
    ``most_pixels``: of a batch; a photo that has more goes alone.
    """
    small = [shrink(image, size_px) for image in images]
    groups: dict[tuple[int, int], list[int]] = {}
    for i, s in enumerate(small):
        groups.setdefault(tuple(-(-side // 32) * 32 for side in s.shape[:2]), []).append(i)
    parts = []
    for shape, members in groups.items():
        step = len(members) if most_pixels is None else max(1, most_pixels // (shape[0] * shape[1]))
        parts += [(shape, members[begin : begin + step]) for begin in range(0, len(members), step)]
    for (height, width), members in parts:
        batch = np.empty((len(members), height, width, 3), np.uint8)
        for row, i in zip(batch, members, strict=True):
            bottom, right = height - small[i].shape[0], width - small[i].shape[1]
            cv2.copyMakeBorder(small[i], 0, bottom, 0, right, border, dst=row, value=GROUND)
        yield members, batch, [small[i].shape[:2] for i in members]
