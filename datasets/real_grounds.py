"""Grounds for composed scenes from photos: those of a folder, or a file's own photos without their products."""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from . import masks
from .coco import Annotation, CocoFile, Image, annotation_rle
from .emptied import emptied
from .images import list_images, load_rgb, quick_resize
from .photos import load_photo

_KEPT = 48  # grounds in the memory of each process


class RealGrounds:
    """Grounds of photos: those of ``folder`` as they are; or, where that is None, those of a COCO file without their
    products, of photos all of whose annotations have a mask that ``usable`` accepts.

    ``side_px``: photos are shrunk to this longest side. ``seed``: how holes are filled depends on it and the image.
    """

    def __init__(
        self,
        coco: CocoFile,
        photos: Path,
        folder: Path | None,
        usable: Callable[[Annotation], bool],
        side_px: int,
        seed: int,
    ):
        self.coco, self.photos, self.side_px, self.seed = coco, photos, side_px, seed
        self.files = [] if folder is None else list_images([folder])
        self.images: list[Image] = []
        self._kept: OrderedDict[int, np.ndarray | None] = OrderedDict()
        for image in coco.images if folder is None else ():
            found = coco.annotations_by_image[image.id]
            if found and all(a.segmentation is not None and usable(a) for a in found):
                self.images.append(image)

    def draw(self, rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, str] | None:
        """A ground uint8 (height, width, 3), part of a photo, and which; None where no photo shows enough of it."""
        number = len(self.files) or len(self.images)
        for k in rng.integers(0, max(number, 1), 10 if number else 0).tolist():
            whole = self._whole(k)
            if whole is not None:
                name = self.files[k].name if self.files else self.images[k].file_name
                return _part(rng, whole, height, width), f"photo: {name}"
        return None

    def _whole(self, k: int) -> np.ndarray | None:
        if k not in self._kept:
            self._kept[k] = self._made(k)
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return self._kept[k]

    def _made(self, k: int) -> np.ndarray | None:
        if self.files:
            return _shrunk(load_rgb(self.files[k]), self.side_px)
        image = self.images[k]
        rgb = _shrunk(load_photo(image, self.photos), self.side_px)
        mask = np.zeros((image.height, image.width), np.uint8)
        for annotation in self.coco.annotations_by_image[image.id]:
            mask |= masks.decode(annotation_rle(annotation, image))
        mask = cv2.resize(mask, rgb.shape[1::-1], interpolation=cv2.INTER_NEAREST)
        return emptied(rgb, mask, np.random.default_rng([self.seed, image.id]))


def _shrunk(rgb: np.ndarray, side: int) -> np.ndarray:
    factor = side / max(rgb.shape[:2])
    if factor >= 1:
        return rgb
    return quick_resize(rgb, max(1, round(rgb.shape[1] * factor)), max(1, round(rgb.shape[0] * factor)))


def _part(rng: np.random.Generator, whole: np.ndarray, height: int, width: int) -> np.ndarray:
    """Part of a ground, mirrored at random, at the size asked for."""
    largest = min(whole.shape[0] / height, whole.shape[1] / width)
    factor = largest * rng.uniform(0.65, 1.0)
    h, w = max(1, int(height * factor)), max(1, int(width * factor))
    top, left = rng.integers(0, whole.shape[0] - h + 1), rng.integers(0, whole.shape[1] - w + 1)
    part = quick_resize(np.ascontiguousarray(whole[top : top + h, left : left + w]), width, height)
    if rng.random() < 0.3:
        part = cv2.flip(part, 0)
    return cv2.flip(part, 1) if rng.random() < 0.5 else part
