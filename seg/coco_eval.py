"""The twelve COCO numbers, for masks and for boxes.

Computed by hotcoco (a port of COCOeval, the same numbers an order of magnitude sooner); pycocotools is the reference
in the tests and the fallback where hotcoco is not installed.
"""

import contextlib
import importlib.util
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ..datasets import masks
from ..datasets.errors import InputError

COCO_KEYS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


@dataclass(frozen=True)
class Objects:
    """n instances (truth or detections) of one set of photos, as columns of equal length.

    image: int64 (n,), index into the set's photos. category: int64 (n,), index into the set's categories, -1 for one
    that the set does not know. xywh: float64 (n, 4), px. rle: n masks ``{"size": [h, w], "counts": str}``, or None when
    there are boxes only. area: float64 (n,), px, the annotation's own (used for truth only). crowd: bool (n,).
    score: float64 (n,) (detections only; ones for truth).
    """

    image: np.ndarray
    category: np.ndarray
    xywh: np.ndarray
    rle: list[dict] | None
    area: np.ndarray
    crowd: np.ndarray
    score: np.ndarray

    def __post_init__(self) -> None:
        lengths = {len(self.image), len(self.category), len(self.xywh), len(self.area), len(self.crowd)}
        lengths |= {len(self.score)} | ({len(self.rle)} if self.rle is not None else set())
        if len(lengths) != 1:
            raise InputError(f"Objects: columns of different lengths {sorted(lengths)}; give one value per instance.")
        if not np.isfinite(self.score).all():
            raise InputError(
                f"Objects: score {self.score[~np.isfinite(self.score)][0]} of instance "
                f"{int(np.flatnonzero(~np.isfinite(self.score))[0])}; scores must be finite numbers."
            )

    def __len__(self) -> int:
        return len(self.image)

    def select(self, keep: np.ndarray) -> "Objects":
        """The instances at ``keep``: bool (n,) or int (k,)."""
        index = np.flatnonzero(keep) if keep.dtype == bool else keep
        rle = None if self.rle is None else [self.rle[i] for i in index]
        columns = (self.image, self.category, self.xywh, self.area, self.crowd, self.score)
        image, category, xywh, area, crowd, score = (column[index] for column in columns)
        return Objects(image, category, xywh, rle, area, crowd, score)


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
    if xywh is None:
        xywh = [masks.xywh(one) for one in rle or ()]
    xywh = np.asarray(xywh, np.float64).reshape(-1, 4)
    if area is None:
        area = [masks.area(one) for one in rle] if rle is not None else xywh[:, 2] * xywh[:, 3]
    return Objects(
        np.asarray(image, np.int64).reshape(-1),
        np.asarray(category, np.int64).reshape(-1),
        xywh,
        list(rle) if rle is not None else None,
        np.asarray(area, np.float64).reshape(-1),
        np.zeros(n, bool) if crowd is None else np.asarray(crowd, bool).reshape(-1),
        np.ones(n) if score is None else np.asarray(score, np.float64).reshape(-1),
    )


def coco_numbers(
    truth: Objects,
    detections: Objects,
    *,
    sizes: Sequence[tuple[int, int]],
    categories: int,
    kind: Literal["segm", "bbox"] = "segm",
    class_agnostic: bool = False,
    engine: Literal["auto", "hotcoco", "pycocotools"] = "auto",
) -> dict[str, float]:
    """COCO's summary (IoU .50:.05:.95, 100 detections a photo and category) as ``{"AP": ..., ..., "ARl": ...}``.

    sizes: (height, width) px of every photo, photos without any instance included. categories: how many there are;
    instances of category -1 take no part, unless ``class_agnostic``, which puts everything into one class. A number
    without any truth to measure on is -1, as COCO has it. Raises InputError for ``kind="segm"`` without masks.
    """
    if kind == "segm" and (truth.rle is None or detections.rle is None):
        side = "truth" if truth.rle is None else "detections"
        raise InputError(f"coco_numbers: segm numbers need masks, but the {side} hold boxes only; ask for bbox.")
    if class_agnostic:
        categories = 1
        truth = replace(truth, category=np.zeros_like(truth.category))
        detections = replace(detections, category=np.zeros_like(detections.category))
    truth, detections = (objects.select(objects.category >= 0) for objects in (truth, detections))
    if engine == "auto":
        engine = "hotcoco" if importlib.util.find_spec("hotcoco") else "pycocotools"
    if kind == "segm":
        # The trap: where results carry `bbox`, loadRes takes the box's area as the detection's area even for masks, and
        # the numbers by size change. So a segm evaluation gets the area of the mask, whatever was given.
        detections = replace(detections, area=np.array([masks.area(rle) for rle in detections.rle], np.float64))
    else:
        detections = replace(detections, area=detections.xywh[:, 2] * detections.xywh[:, 3])
    run = _hotcoco if engine == "hotcoco" else _pycocotools
    with contextlib.redirect_stdout(io.StringIO()):  # both libraries print their tables
        stats = run(truth, detections, sizes, categories, kind)
    return dict(zip(COCO_KEYS, map(float, stats), strict=True))


def _header(sizes: Sequence[tuple[int, int]], categories: int) -> tuple[list[dict], list[dict]]:
    images = [{"id": i, "height": int(h), "width": int(w), "file_name": ""} for i, (h, w) in enumerate(sizes, 1)]
    return images, [{"id": i, "name": str(i)} for i in range(1, categories + 1)]


def _hotcoco(truth, detections, sizes, categories, kind) -> np.ndarray:
    import hotcoco

    images, names = _header(sizes, categories)
    masked = kind == "segm"
    coco_gt = hotcoco.COCO.from_arrays(
        images,
        names,
        truth.image + 1,
        truth.category + 1,
        truth.xywh,
        area=truth.area,
        iscrowd=truth.crowd.astype(np.int64),
        segmentation=truth.rle if masked else None,
    )
    table = np.column_stack([detections.image + 1, detections.xywh, detections.score, detections.category + 1])
    coco_dt = coco_gt.load_res(table.astype(np.float64), segmentation=detections.rle if masked else None)
    coco_dt.update_anns(ids=np.arange(1, len(detections) + 1), area=detections.area)
    evaluator = hotcoco.COCOeval(coco_gt, coco_dt, kind)
    evaluator.run()
    return evaluator.stats


def _pycocotools(truth, detections, sizes, categories, kind) -> np.ndarray:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    images, names = _header(sizes, categories)

    def dataset(objects: Objects) -> COCO:
        coco = COCO()
        coco.dataset = {"images": images, "categories": names, "annotations": _annotations(objects, kind)}
        coco.createIndex()
        return coco

    # Not through loadRes: it cannot read an empty list, and it would choose the area by itself.
    evaluator = COCOeval(dataset(truth), dataset(detections), kind)
    evaluator.evaluate()
    evaluator.accumulate()
    evaluator.summarize()
    return evaluator.stats


def _annotations(objects: Objects, kind: str) -> list[dict]:
    """COCO dicts with ids from 1: COCOeval takes id 0 for "no match"."""
    rows = zip(
        objects.image.tolist(),
        objects.category.tolist(),
        objects.xywh.tolist(),
        objects.area.tolist(),
        objects.crowd.tolist(),
        objects.score.tolist(),
        strict=True,
    )
    found = []
    for i, (image, category, xywh, area, crowd, score) in enumerate(rows):
        one = {"id": i + 1, "image_id": image + 1, "category_id": category + 1, "bbox": xywh, "area": area}
        one |= {"iscrowd": int(crowd), "score": score}
        if kind == "segm":
            one["segmentation"] = dict(objects.rle[i])
        found.append(one)
    return found
