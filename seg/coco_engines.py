"""Where COCO's precision and recall are computed: hotcoco, or pycocotools."""

import contextlib
import io
from collections.abc import Callable, Sequence

import numpy as np

from .federated import Federated
from .objects import Objects

# (truth rows, detection rows) of one photo -> IoU float64 (detections, truths), as pycocotools' mask.iou has it.
PairIou = Callable[[np.ndarray, np.ndarray], np.ndarray]
Arrays = tuple[np.ndarray, np.ndarray]


def run_hotcoco(
    truth: Objects,
    detections: Objects,
    sizes,
    categories: int,
    kind: str,
    params,
    federated: Federated | None = None,
) -> Arrays:
    """precision float64 (T, 101, K, A, M) and recall (T, K, A, M), -1 where there is no truth.

    ``detections.area`` is what the numbers by size go by. ``params``: a CocoParams.
    """
    import hotcoco

    images, names = _header(sizes, categories)
    for image, negative, partly in zip(images, *_listed(federated), strict=True) if federated else ():
        image |= {"neg_category_ids": negative, "not_exhaustive_category_ids": partly}
    masked = kind == "segm"
    coco_gt = hotcoco.COCO.from_arrays(
        images,
        names,
        truth.image + 1,
        truth.category + 1,
        _boxes(truth, masked),
        area=truth.area,
        iscrowd=truth.crowd.astype(np.int64),
        segmentation=truth.rle if masked else None,
    )
    boxes = _boxes(detections, masked)
    table = np.column_stack([detections.image + 1, boxes, detections.score, detections.category + 1])
    coco_dt = coco_gt.load_res(table.astype(np.float64), segmentation=detections.rle if masked else None)
    coco_dt.update_anns(ids=np.arange(1, len(detections) + 1), area=detections.area)
    evaluator = hotcoco.COCOeval(coco_gt, coco_dt, kind, lvis_style=federated is not None)
    evaluator.params.iou_thrs = list(params.iou_thrs)
    evaluator.params.max_dets = list(params.max_dets)
    evaluator.params.area_rng_lbl = list(params.areas)
    evaluator.params.area_rng = [list(limits) for limits in params.areas.values()]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator.evaluate()
        evaluator.accumulate()
    found = evaluator.eval
    return np.asarray(found["precision"]), np.asarray(found["recall"])


def run_pycocotools(
    truth: Objects, detections: Objects, sizes, categories: int, kind: str, params, pair_iou: PairIou | None = None
) -> Arrays:
    """The same as ``run_hotcoco``, by COCOeval. ``pair_iou(truth rows, detection rows)``, int64 each, gives the IoU of
    one photo and category, float64 (detections, truths), in place of COCOeval's own."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    class Evaluator(COCOeval):
        def computeIoU(self, photo, category):
            if pair_iou is None:
                return super().computeIoU(photo, category)
            rows = [one["id"] - 1 for one in self._gts[photo, category]]
            found = sorted(self._dts[photo, category], key=lambda one: -one["score"])[: self.params.maxDets[-1]]
            columns = [one["id"] - 1 for one in found]
            return pair_iou(np.array(rows, np.int64), np.array(columns, np.int64)) if rows or columns else []

    images, names = _header(sizes, categories)

    def dataset(objects: Objects) -> COCO:
        coco = COCO()
        coco.dataset = {"images": images, "categories": names, "annotations": _annotations(objects, kind)}
        coco.createIndex()
        return coco

    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does
        # Not through loadRes: it cannot read an empty list, and it would choose the area by itself.
        evaluator = Evaluator(dataset(truth), dataset(detections), kind)
        evaluator.params.iouThrs = np.array(params.iou_thrs)
        evaluator.params.maxDets = list(params.max_dets)
        evaluator.params.areaRngLbl = list(params.areas)
        evaluator.params.areaRng = [list(limits) for limits in params.areas.values()]
        evaluator.evaluate()
        evaluator.accumulate()
    return evaluator.eval["precision"], evaluator.eval["recall"]


def _header(sizes: Sequence[tuple[int, int]], categories: int) -> tuple[list[dict], list[dict]]:
    images = [{"id": i, "height": int(h), "width": int(w), "file_name": ""} for i, (h, w) in enumerate(sizes, 1)]
    return images, [{"id": i, "name": str(i)} for i in range(1, categories + 1)]


def _boxes(objects: Objects, masked: bool) -> np.ndarray:
    """Where masks are compared no box is looked at: what is not there yet need not be found."""
    return np.zeros((len(objects), 4)) if masked and not objects.boxed else objects.xywh


def _listed(federated: Federated) -> tuple[list[list[int]], list[list[int]]]:
    """Category ids, from 1, of every photo: negative, and not exhaustive."""
    return tuple(
        [[i + 1 for i in of_photo] for of_photo in one] for one in (federated.negative, federated.not_exhaustive)
    )


def _annotations(objects: Objects, kind: str) -> list[dict]:
    """COCO dicts with ids from 1: COCOeval takes id 0 for "no match"."""
    rows = zip(
        objects.image.tolist(),
        objects.category.tolist(),
        _boxes(objects, kind == "segm").tolist(),
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
