"""The twelve numbers against pycocotools called directly, on random problems and on cases worked by hand."""

import contextlib
import io
from dataclasses import replace

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from segattr.datasets import masks
from segattr.datasets.errors import InputError
from segattr.seg.coco_eval import COCO_KEYS, Objects, coco_numbers, make_objects

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
    xywh = [coco_mask.toBbox(one) + rng.normal(0, 1, 4).clip(-1, 1) * [1, 1, 0.5, 0.5] for one in d_rle]
    score = rng.choice([0.1, 0.5, 0.5, 0.9, rng.random()], len(d_rle))
    return truth, make_objects(d_image, d_category, rle=d_rle, xywh=xywh, score=score), [SIZE] * photos, categories


def published(truth: Objects, found: Objects, sizes, categories: int, kind: str, agnostic: bool) -> np.ndarray:
    """pycocotools as its users call it: a dataset, loadRes, useCats."""
    names = [{"id": i + 1, "name": str(i)} for i in range(categories)]
    images = [{"id": i + 1, "height": h, "width": w} for i, (h, w) in enumerate(sizes)]
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
    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO()
        gt.dataset = {"images": images, "categories": names, "annotations": annotations}
        gt.createIndex()
        evaluator = COCOeval(gt, gt.loadRes(results), kind)
        evaluator.params.useCats = 0 if agnostic else 1
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return evaluator.stats


@pytest.mark.parametrize("seed", range(60))
def test_both_engines_equal_pycocotools(seed):
    truth, found, sizes, categories = random_problem(seed)
    for kind in ("segm", "bbox"):
        numbers = {
            engine: coco_numbers(truth, found, sizes=sizes, categories=categories, kind=kind, engine=engine)
            for engine in ("hotcoco", "pycocotools")
        }
        assert tuple(numbers["hotcoco"]) == COCO_KEYS
        fast, slow = (np.array(list(one.values())) for one in numbers.values())
        np.testing.assert_allclose(fast, slow, rtol=0, atol=1e-9)
        if len(found):  # loadRes cannot read an empty list
            direct = published(truth, found, sizes, categories, kind, agnostic=False)
            np.testing.assert_allclose(fast, direct, rtol=0, atol=1e-9)


@pytest.mark.parametrize("seed", range(100, 120))
def test_class_agnostic_equals_use_cats_0(seed):
    truth, found, sizes, categories = random_problem(seed)
    # Without ties: useCats=0 orders equal scores by category id, which a class-blind figure should not know.
    score = np.random.default_rng(seed).permutation(len(found)) / max(1, len(found))
    found = replace(found, score=score)
    if not len(found):
        return
    for kind in ("segm", "bbox"):
        ours = coco_numbers(truth, found, sizes=sizes, categories=categories, kind=kind, class_agnostic=True)
        direct = published(truth, found, sizes, categories, kind, agnostic=True)
        np.testing.assert_allclose(list(ours.values()), direct, rtol=0, atol=1e-9)


@pytest.mark.parametrize("engine", ["hotcoco", "pycocotools"])
def test_a_box_beside_the_mask_does_not_change_the_numbers_by_size(engine):
    """A thin diagonal: 60 px of mask (small) in a box of 3,600 px (medium)."""
    mask = np.asfortranarray(np.eye(60, dtype=np.uint8))
    rle = {"size": [60, 60], "counts": coco_mask.encode(mask)["counts"].decode()}
    truth = make_objects([0], [0], rle=[rle])
    with_box = make_objects([0, 0], [0, 0], rle=[rle, rle], xywh=[[0, 0, 60, 60]] * 2, score=[0.9, 0.8], area=[3600, 1])
    numbers = coco_numbers(truth, with_box, sizes=[(60, 60)], categories=1, engine=engine)
    assert numbers["APs"] == pytest.approx(1.0)
    assert numbers["APm"] == -1.0
    boxes = coco_numbers(truth, with_box, sizes=[(60, 60)], categories=1, kind="bbox", engine=engine)
    assert boxes["AP"] == pytest.approx(1.0)


@pytest.mark.parametrize("engine", ["hotcoco", "pycocotools"])
def test_no_detections_no_truth_nothing_at_all(engine):
    rle = random_mask(np.random.default_rng(0))
    one, none = make_objects([0], [0], rle=[rle]), make_objects([], [], rle=[])
    options = {"sizes": [SIZE], "categories": 1, "engine": engine}
    assert coco_numbers(one, none, **options)["AP"] == 0.0
    assert set(coco_numbers(none, one, **options).values()) == {-1.0}
    assert set(coco_numbers(none, none, **options).values()) == {-1.0}


def test_unknown_category_counts_only_where_classes_do_not():
    rle = random_mask(np.random.default_rng(0))
    truth = make_objects([0], [0], rle=[rle])
    found = make_objects([0], [-1], rle=[rle])
    options = {"sizes": [SIZE], "categories": 1}
    assert coco_numbers(truth, found, **options)["AP"] == 0.0
    assert coco_numbers(truth, found, class_agnostic=True, **options)["AP"] == pytest.approx(1.0)


def test_mistakes_are_named():
    boxes = make_objects([0], [0], xywh=[[0, 0, 5, 5]])
    with pytest.raises(InputError, match="truth hold boxes only"):
        coco_numbers(boxes, boxes, sizes=[SIZE], categories=1, kind="segm")
    with pytest.raises(InputError, match="finite"):
        make_objects([0, 0], [0, 0], xywh=[[0, 0, 5, 5]] * 2, score=[0.5, float("nan")])
    with pytest.raises(InputError, match="different lengths"):
        make_objects([0, 0], [0], xywh=[[0, 0, 5, 5]])
    with pytest.raises(InputError, match="neither boxes nor masks"):
        make_objects([0], [0])
