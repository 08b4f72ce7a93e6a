"""Instances of one set of photos as columns: what every evaluator takes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..datasets import masks
from ..datasets.errors import InputError


@dataclass(frozen=True)
class Objects:
    """n instances (truth or detections) of one set of photos, as columns of equal length.

    image: int64 (n,), index into the set's photos. category: int64 (n,), index into the set's categories, -1 for one
    that the set does not know. xywh: float64 (n, 4), px; given as None it is that of the masks, found when it is first
    asked for (``boxed``: whether it is there). rle: n masks ``{"size": [h, w], "counts": str}``, or None when
    there are boxes only. area: float64 (n,), px, the annotation's own (used for truth only). crowd: bool (n,).
    score: float64 (n,) (detections only; ones for truth).
    """

    image: np.ndarray
    category: np.ndarray
    xywh: np.ndarray | None
    rle: list[dict] | None
    area: np.ndarray
    crowd: np.ndarray
    score: np.ndarray

    def __post_init__(self) -> None:
        if self.xywh is None:
            if self.rle is None:
                raise InputError("Objects: neither boxes nor masks; give xywh, rle or both.")
            del self.__dict__["xywh"]  # __getattr__ finds it
        lengths = {len(self.image), len(self.category), len(self.area), len(self.crowd)}
        lengths |= {len(self.xywh)} if self.boxed else set()
        lengths |= {len(self.score)} | ({len(self.rle)} if self.rle is not None else set())
        if len(lengths) != 1:
            raise InputError(f"Objects: columns of different lengths {sorted(lengths)}; give one value per instance.")
        if not np.isfinite(self.score).all():
            raise InputError(
                f"Objects: score {self.score[~np.isfinite(self.score)][0]} of instance "
                f"{int(np.flatnonzero(~np.isfinite(self.score))[0])}; scores must be finite numbers."
            )

    def __getattr__(self, name: str) -> np.ndarray:
        """Called for what is not there: ``xywh`` of masks."""
        if name != "xywh" or self.__dict__.get("rle") is None:
            raise AttributeError(name)
        self.__dict__["xywh"] = masks.boxes(self.rle)
        return self.__dict__["xywh"]

    @property
    def boxed(self) -> bool:
        return "xywh" in self.__dict__

    def __len__(self) -> int:
        return len(self.image)

    def select(self, keep: np.ndarray) -> "Objects":
        """The instances at ``keep``: bool (n,) or int (k,)."""
        index = np.flatnonzero(keep) if keep.dtype == bool else keep
        rle = None if self.rle is None else [self.rle[i] for i in index.tolist()]
        columns = (self.image, self.category, self.area, self.crowd, self.score)
        image, category, area, crowd, score = (column[index] for column in columns)
        return Objects(image, category, self.xywh[index] if self.boxed else None, rle, area, crowd, score)

    def changed(self, **columns: np.ndarray) -> "Objects":
        """With other columns; boxes that nobody has asked for yet stay so, which ``dataclasses.replace`` would not."""
        own = {name: self.__dict__.get(name) for name in self.__dataclass_fields__}
        return Objects(**(own | columns))

    @cached_property
    def mask_area(self) -> np.ndarray:
        """float64 (n,), px: pixels of every mask, whatever ``area`` says. There must be masks."""
        return masks.areas(self.rle)


def with_mask_area(objects: Objects, mask_area: np.ndarray) -> Objects:
    """``objects``, which need not count the pixels of their masks again: ``mask_area`` float64 (n,) says it."""
    objects.__dict__["mask_area"] = mask_area  # where cached_property keeps it
    return objects


def make_objects(
    image: Sequence[int],
    category: Sequence[int],
    *,
    xywh: Sequence[Sequence[float]] | None = None,
    rle: list[dict] | None = None,
    area: Sequence[float] | None = None,
    crowd: Sequence[bool] | None = None,
    score: Sequence[float] | None = None,
) -> Objects:
    """Columns from plain lists. Give boxes (xywh, px), masks (RLE) or both; what is missing comes from the masks."""
    n = len(image)
    if xywh is None and rle is None and n:
        raise InputError("make_objects: neither boxes nor masks; give xywh, rle or both.")
    if xywh is not None or rle is None:
        xywh = np.asarray(() if xywh is None else xywh, np.float64).reshape(-1, 4)
    if area is None:
        area = masks.areas(rle) if rle is not None else xywh[:, 2] * xywh[:, 3]
    return Objects(
        np.asarray(image, np.int64).reshape(-1),
        np.asarray(category, np.int64).reshape(-1),
        xywh,
        list(rle) if rle is not None else None,
        np.asarray(area, np.float64).reshape(-1),
        np.zeros(n, bool) if crowd is None else np.asarray(crowd, bool).reshape(-1),
        np.ones(n) if score is None else np.asarray(score, np.float64).reshape(-1),
    )


def join_objects(parts: Sequence[Objects], first_image: Sequence[int]) -> Objects:
    """Several sets of photos as one. ``first_image``: what is added to the image indices of every part.

    There are masks where every part with an instance has them.
    """
    if not parts:
        return make_objects([], [], rle=[])
    masked = all(part.rle is not None for part in parts if len(part))
    boxed = not masked or any(part.boxed for part in parts)
    return Objects(
        np.concatenate([part.image + first for part, first in zip(parts, first_image, strict=True)]),
        np.concatenate([part.category for part in parts]),
        np.concatenate([part.xywh for part in parts]) if boxed else None,
        [rle for part in parts for rle in part.rle or ()] if masked else None,
        np.concatenate([part.area for part in parts]),
        np.concatenate([part.crowd for part in parts]),
        np.concatenate([part.score for part in parts]),
    )
