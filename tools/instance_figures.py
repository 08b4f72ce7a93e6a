"""How good an instance segmenter is on a COCO file: COCO's AP of masks and boxes, and the product IoU."""

from pathlib import Path

import numpy as np

from ..datasets import masks
from ..datasets.coco import CocoFile, Image, annotation_rle
from ..datasets.errors import InputError
from ..datasets.torch_datasets import load_photo
from ..seg.coco_eval import Objects, coco_numbers, make_objects
from ..seg.detectron2_data import class_indices
from ..seg.metrics import binary_iou
from ..seg.segments import Segment

_BATCH = 8


def instance_figures(
    segmenter, coco: CocoFile, images_dir: Path, classes: tuple[str, ...], score_thr: float
) -> dict[str, float]:
    """``segm/AP``, ``segm/AP50``, ``segm/AP75``, ``bbox/AP`` over all detections that ``segmenter.predict`` gives (one
    class, or one class a category), and ``iou``: the mean over photos of the IoU of all products together with those
    detections that score ``score_thr`` or more. Crowds count as COCO has it, and not in ``iou``.

    Photos of whose products some have only boxes are left out. InputError where no product is left.
    """
    photos = measurable(coco, classes)
    _, of = class_indices(coco, classes)
    truth, found, ious = _Columns(), _Columns(), []
    for begin in range(0, len(photos), _BATCH):
        some = photos[begin : begin + _BATCH]
        predicted = segmenter.predict([load_photo(image, images_dir) for image in some])
        for k, (image, segments) in enumerate(zip(some, predicted, strict=True), begin):
            there = [a for a in coco.annotations_by_image[image.id] if a.category_id in of]
            rles = [annotation_rle(a, image) for a in there]
            for a, rle in zip(there, rles, strict=True):
                truth.add(k, of[a.category_id], rle, 1.0, bool(a.iscrowd), a.area)
            for s in segments:
                found.add(k, classes.index(s.label) if len(classes) > 1 else 0, s.rle(), s.score)
            ious.append(_product_iou(there, rles, segments, image, score_thr))
    sizes = [(image.height, image.width) for image in photos]
    segm, boxes = (
        coco_numbers(truth.objects(), found.objects(), sizes=sizes, categories=len(classes), kind=kind)
        for kind in ("segm", "bbox")
    )
    return {
        "segm/AP": segm["AP"],
        "segm/AP50": segm["AP50"],
        "segm/AP75": segm["AP75"],
        "bbox/AP": boxes["AP"],
        "iou": float(np.mean(ious)),
    }


def measurable(coco: CocoFile, classes: tuple[str, ...]) -> list[Image]:
    """The photos that `instance_figures` looks at: those of whose products every mask is known. InputError where none
    of them shows a product of ``classes``: what is measured on it would be no number."""
    photos = [i for i in coco.images if all(a.segmentation for a in coco.annotations_by_image[i.id])]
    _, of = class_indices(coco, classes)
    there = (a for image in photos for a in coco.annotations_by_image[image.id])
    if not any(a.category_id in of and not a.iscrowd for a in there):
        raise InputError("the validation file has no product with a mask; expected at least one")
    return photos


class _Columns:
    def __init__(self) -> None:
        self.rows: list[tuple[int, int, dict, float, bool, float]] = []

    def add(self, image: int, category: int, rle: dict, score: float, crowd: bool = False, area: float = 0.0) -> None:
        self.rows.append((image, category, rle, score, crowd, area))

    def objects(self) -> Objects:
        image, category, rle, score, crowd, area = zip(*self.rows, strict=True) if self.rows else ((),) * 6
        return make_objects(image, category, rle=list(rle), score=score, crowd=crowd, area=area)


def _product_iou(there, rles: list[dict], segments: list[Segment], image: Image, score_thr: float) -> float:
    size = (image.height, image.width)
    products, crowds = np.zeros(size, bool), np.zeros(size, bool)
    for annotation, rle in zip(there, rles, strict=True):
        (crowds if annotation.iscrowd else products)[masks.decode(rle).astype(bool)] = True
    seen = np.zeros(size, bool)
    for segment in segments:
        if segment.score >= score_thr:
            x0, y0, x1, y1 = segment.xyxy
            seen[y0:y1, x0:x1] |= segment.mask
    return binary_iou(seen & ~crowds, products & ~crowds)
