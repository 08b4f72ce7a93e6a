"""Masks that are given, not found: those of a COCO file, for `segattr extract --masks`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..datasets.coco import Annotation, Image, annotation_rle, read_coco
from ..datasets.errors import InputError
from ..seg.pairing import match_names
from ..seg.segments import Segment, segment_from_rle


@dataclass(frozen=True)
class GivenMasks:
    """The products of a COCO file on the photos of a scan.

    photos: file name in the scan -> its image in the file and its products there, none of them a crowd region.
    fingerprint: of the file's bytes. absent: how many photos of the file the scan lacks.
    """

    where: str
    fingerprint: str
    photos: dict[str, tuple[Image, list[Annotation]]]
    absent: int

    def segments(self, file_name: str, rgb: np.ndarray) -> list[Segment]:
        """The masks on one photo, uint8 (h, w, 3), in the file's order; an empty mask is no product.

        Raises InputError where the photo has another size than in the file.
        """
        image, annotations = self.photos[file_name]
        if rgb.shape[:2] != (image.height, image.width):
            raise InputError(
                f"is {rgb.shape[1]} x {rgb.shape[0]} px but {image.width} x {image.height} px in {self.where}: its masks "
                "do not lie on this photo"
            )
        found = (segment_from_rle(annotation_rle(one, image)) for one in annotations)
        return [segment for segment in found if segment is not None]


def read_masks(path: Path, file_names: Sequence[str]) -> GivenMasks:
    """The masks of COCO file ``path`` for the photos of these names, matched as ``match_names`` does.

    Raises InputError for a damaged file, for one that shares no photo with the names, for a name that fits several
    photos and for a product that has only a box.
    """
    coco = read_coco(path)
    pairs = match_names([image.file_name for image in coco.images], file_names)
    if not pairs:
        there = repr(coco.images[0].file_name) if coco.images else "no images at all"
        raise InputError(
            f"--masks {path}: holds none of the photos; they are matched by file name (first names: {there} there, "
            f"{file_names[0] if file_names else 'no photo'!r} here)."
        )
    photos = {}
    for j, i in sorted(pairs.items()):
        image = coco.images[i]
        products = [one for one in coco.annotations_by_image.get(image.id, ()) if not one.iscrowd]
        if boxed := [one.id for one in products if not one.segmentation]:
            raise InputError(
                f"--masks {path}: annotation {boxed[0]} of {image.file_name} has no segmentation, only a box; expected a "
                "mask for every product: annotate it or leave it out."
            )
        photos[file_names[j]] = image, products
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return GivenMasks(path.name, digest, photos, len(coco.images) - len(pairs))
