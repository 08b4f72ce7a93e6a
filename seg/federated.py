"""Federated truth, as LVIS has it (Gupta et al., 2019): not every category was looked for in every photo."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..datasets.coco import CocoFile
from ..datasets.errors import InputError
from .objects import Objects

Frequency = Literal["r", "c", "f"]
PER_PHOTO = 300  # detections, the best scores of all categories


@dataclass(frozen=True)
class Federated:
    """negative: of every photo the category indices that were looked for and are not there; not_exhaustive: those of
    which not every instance is annotated. A detection of a category that is neither in the photo's truth nor negative
    takes no part; one that matches nothing, of a category that is not exhaustive, is neither right nor wrong.
    frequency: of every category whether it is rare, common or frequent (None: not said)."""

    negative: Sequence[Collection[int]]
    not_exhaustive: Sequence[Collection[int]]
    frequency: Sequence[Frequency | None]

    def check(self, photos: int, categories: int) -> None:
        """Raises InputError where the columns have other lengths."""
        found = (len(self.negative), len(self.not_exhaustive), len(self.frequency))
        if found != (photos, photos, categories):
            raise InputError(
                f"Federated: negative, not_exhaustive and frequency have {found} entries; expected {photos}, {photos} "
                f"(photos) and {categories} (categories)."
            )


def federated_truth(truth: CocoFile) -> Federated | None:
    """What a file in LVIS's form says: ``neg_category_ids`` and ``not_exhaustive_category_ids`` of its images,
    ``frequency`` of its categories. None for a file whose images say neither. Raises InputError for ids that are none
    of its categories."""
    keys = ("neg_category_ids", "not_exhaustive_category_ids")
    if not any(key in image.extra for image in truth.images for key in keys):
        return None
    index = {category.id: i for i, category in enumerate(truth.categories)}

    def listed(key: str) -> list[list[int]]:
        found = []
        for image in truth.images:
            ids = image.extra.get(key) or []
            if not isinstance(ids, list) or not all(type(i) is int and i in index for i in ids):
                raise InputError(f"{image.file_name}: {key} is {ids}; expected ids of the file's categories.")
            found.append([index[i] for i in ids])
        return found

    frequency = [category.extra.get("frequency") for category in truth.categories]
    if odd := [one for one in frequency if one not in ("r", "c", "f", None)]:
        raise InputError(f"a category of frequency {odd[0]!r}; expected r, c or f (rare, common, frequent).")
    return Federated(listed(keys[0]), listed(keys[1]), frequency)


def best_of_photos(detections: Objects, count: int = PER_PHOTO) -> Objects:
    """The ``count`` best scores of every photo; of equal ones the first."""
    order = np.lexsort((-detections.score, detections.image))
    image = detections.image[order]
    rank = np.arange(len(image)) - np.searchsorted(image, image)
    return detections.select(np.sort(order[rank < count]))
