"""Random problems of COCO evaluation, as columns and as JSON, and pycocotools called directly on them."""

import contextlib
import io

import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from segattr.datasets import masks
from segattr.seg.coco_eval import (
    Objects,
    make_objects,
)

SIZE = (90, 120)


def random_mask(rng: np.random.Generator, size=SIZE) -> dict:
    h, w = size
    mask = np.zeros((h, w), np.uint8, order="F")
    x, y = rng.integers(0, w - 4), rng.integers(0, h - 4)
    mask[y : y + rng.integers(2, h), x : x + rng.integers(2, w)] = 1
    mask &= (rng.random((h, w)) < 0.97).astype(np.uint8)
    rle = coco_mask.encode(np.asfortranarray(mask))
    return {"size": [h, w], "counts": rle["counts"].decode()}


def jitter(rng: np.random.Generator, rle: dict) -> dict:
    mask = np.roll(masks.decode(rle), rng.integers(-4, 5, 2), (0, 1))
    found = coco_mask.encode(np.asfortranarray(mask))
    return {"size": rle["size"], "counts": found["counts"].decode()}


def random_problem(seed: int) -> tuple[Objects, Objects, list[tuple[int, int]], int]:
    """Crowds, tied scores, photos and categories without truth or detections, some photos past 100 detections."""
    rng = np.random.default_rng(seed)
    photos, categories = int(rng.integers(1, 6)), int(rng.integers(1, 5))
    n = int(rng.integers(0, 14))
    image, category = rng.integers(0, photos, n), rng.integers(0, max(1, categories - 1), n)
    rle = [random_mask(rng) for _ in range(n)]
    area = [float(coco_mask.area(one)) * rng.choice([1.0, 0.5, 3.0]) for one in rle]
    truth = make_objects(image, category, rle=rle, area=area, crowd=rng.random(n) < 0.2)
    hits = rng.integers(0, n, int(rng.integers(0, 30))) if n else np.zeros(0, int)
    crowded = seed % 10 == 0  # one photo and one category past 100 detections
    many = 130 if crowded else int(rng.integers(0, 20))
    d_image = np.r_[image[hits], rng.integers(0, 1 if crowded else photos, many)]
    d_category = np.where(rng.random(len(hits)) < 0.8, category[hits], 0)
    d_category = np.r_[d_category, rng.integers(0, 1 if crowded else categories, many)]
    d_rle = [jitter(rng, rle[i]) for i in hits] + [random_mask(rng) for _ in range(many)]
    xywh = [coco_mask.toBbox(one) + rng.normal(0, 0.5, 4).clip(-0.6, 0.6) * [1, 1, 0.5, 0.5] for one in d_rle]
    score = rng.choice([0.1, 0.5, 0.5, 0.9, rng.random()], len(d_rle))
    return truth, make_objects(d_image, d_category, rle=d_rle, xywh=xywh, score=score), [SIZE] * photos, categories


def as_json(truth: Objects, found: Objects, sizes, categories: int, kind: str) -> tuple[dict, list[dict]]:
    """A COCO dataset and a COCO results list, which carries only what ``kind`` is about."""
    names = [{"id": i + 1, "name": str(i)} for i in range(categories)]
    images = [{"id": i + 1, "height": h, "width": w, "file_name": f"{i}.jpg"} for i, (h, w) in enumerate(sizes)]
    annotations = [
        {
            "id": i + 1,
            "image_id": int(truth.image[i]) + 1,
            "category_id": int(truth.category[i]) + 1,
            "bbox": truth.xywh[i].tolist(),
            "area": float(truth.area[i]),
            "iscrowd": int(truth.crowd[i]),
            "segmentation": truth.rle[i],
        }
        for i in range(len(truth))
    ]
    results = [
        {
            "image_id": int(found.image[i]) + 1,
            "category_id": int(found.category[i]) + 1,
            "score": float(found.score[i]),
            **({"segmentation": found.rle[i]} if kind == "segm" else {"bbox": found.xywh[i].tolist()}),
        }
        for i in range(len(found))
    ]
    return {"images": images, "categories": names, "annotations": annotations}, results


def published(*problem, agnostic=False, **params) -> COCOeval:
    """pycocotools as its users call it: a dataset, loadRes, params."""
    dataset, results = as_json(*problem)
    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO()
        gt.dataset = dataset
        gt.createIndex()
        evaluator = COCOeval(gt, gt.loadRes(results), problem[-1])
        evaluator.params.useCats = 0 if agnostic else 1
        for name, value in params.items():
            setattr(evaluator.params, name, value)
        evaluator.evaluate()
        evaluator.accumulate()
        if not params:
            evaluator.summarize()
    return evaluator
