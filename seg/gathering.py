"""One pairing from many: batches of a validation loop, shards of several processes."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from ..datasets.errors import InputError
from .coco_eval import Objects
from .pairing import Pairing


class PairingParts:
    """Collects pairings: ``update`` per batch, ``merge`` across processes, ``compute``. Every figure that is a function
    of a pairing (joint metrics, slices, label maps) so becomes one over batches and processes. It holds RLE masks, not
    pixels, and can be pickled (``torch.distributed.all_gather_object``).

    A photo that is seen twice counts once (the first): samplers of distributed training repeat photos so that all
    processes have equally many. Photos are told apart by file name.
    """

    def __init__(self) -> None:
        self._parts: list[Pairing] = []

    def update(self, pairing: Pairing) -> None:
        """Add the photos of one more pairing. Raises InputError for other categories or another schema."""
        if self._parts:
            first = self._parts[0]
            same = (first.categories, first.schema) == (pairing.categories, pairing.schema)
            if not same or first.predicted_schema != pairing.predicted_schema:
                raise InputError(
                    "pairings with different categories or attribute schemas cannot be joined; use the same everywhere."
                )
        self._parts.append(pairing)

    def merge(self, other: "PairingParts") -> "PairingParts":
        """Add what another process has collected; returns self."""
        for pairing in other._parts:
            self.update(pairing)
        return self

    def compute(self) -> Pairing:
        """The pairing of all photos so far, in the order of their file names, whatever way they came. Raises
        InputError when there is none."""
        if not self._parts:
            raise InputError("no pairing to compute from; update with at least one batch.")
        names = [image.file_name for part in self._parts for image in part.images]
        first: dict[str, int] = {}
        for i, name in enumerate(names):
            first.setdefault(name, i)
        place = np.full(len(names), -1, np.int64)
        for new, name in enumerate(sorted(first)):
            place[first[name]] = new
        starts = np.cumsum([0] + [len(part.images) for part in self._parts])
        slots = [place[a:b] for a, b in pairwise(starts)]
        images = [image for part in self._parts for image in part.images]
        truth, truth_rows = _joined([part.truth for part in self._parts], slots)
        detections, rows = _joined([part.detections for part in self._parts], slots)
        missing = [
            image.file_name in set_ for part in self._parts for set_ in [set(part.missing)] for image in part.images
        ]
        return replace(
            self._parts[0],
            images=[images[first[name]] for name in sorted(first)],
            truth=truth,
            detections=detections,
            truth_attributes=_picked([part.truth_attributes for part in self._parts], truth_rows),
            detection_attributes=_picked([part.detection_attributes for part in self._parts], rows),
            detection_categories=_picked([part.detection_categories for part in self._parts], rows),
            detection_probabilities=_picked([part.detection_probabilities for part in self._parts], rows),
            missing=[name for name in sorted(first) if missing[first[name]]],
            notes=list(dict.fromkeys(note for part in self._parts for note in part.notes)),
        )


def _joined(parts: Sequence[Objects], slots: Sequence[np.ndarray]) -> tuple[Objects, np.ndarray]:
    """All instances on kept photos, by photo, and their rows among all. slots: the new place of each part's photos, -1
    for those left out. Masks only where every part with an instance has them."""
    image = np.concatenate([slot[part.image] for part, slot in zip(parts, slots, strict=True)])
    masked = all(part.rle is not None for part in parts if len(part))
    columns = ("category", "xywh", "area", "crowd", "score")
    whole = Objects(
        image=image,
        rle=[rle for part in parts for rle in part.rle or ()] if masked else None,
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in columns},
    )
    order = np.argsort(image, kind="stable")
    order = order[image[order] >= 0]
    return whole.select(order), order


def _picked(parts: Sequence[list], rows: np.ndarray) -> list:
    whole = [one for part in parts for one in part]
    return [whole[i] for i in rows]
