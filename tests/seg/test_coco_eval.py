"""The twelve numbers against pycocotools called directly, on random problems and on cases worked by hand."""

import contextlib
import io
import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from segattr.datasets import masks
from segattr.datasets.errors import InputError
from segattr.seg.coco_eval import (
    COCO_KEYS,
    CocoMetrics,
    CocoParams,
    Objects,
    coco_evaluate,
    coco_numbers,
    make_objects,
)
from segattr.seg.pairing import pair, read_predictions, read_truth

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


@pytest.mark.parametrize("seed", range(200))
def test_both_engines_equal_pycocotools(seed):
    truth, found, sizes, categories = random_problem(seed)
    for kind in ("segm", "bbox"):
        fast, slow = (
            coco_evaluate(truth, found, sizes=sizes, categories=categories, kind=kind, engine=engine)
            for engine in ("hotcoco", "pycocotools")
        )
        assert tuple(fast.numbers) == COCO_KEYS
        np.testing.assert_allclose(list(fast.numbers.values()), list(slow.numbers.values()), rtol=0, atol=1e-9)
        if len(found):  # loadRes cannot read an empty list
            direct = published(truth, found, sizes, categories, kind)
            np.testing.assert_allclose(list(fast.numbers.values()), direct.stats, rtol=0, atol=1e-9)
            np.testing.assert_allclose(fast.precision, direct.eval["precision"], rtol=0, atol=1e-9)
            np.testing.assert_allclose(fast.recall, direct.eval["recall"], rtol=0, atol=1e-9)


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
        np.testing.assert_allclose(list(ours.values()), direct.stats, rtol=0, atol=1e-9)


@pytest.mark.parametrize("seed", range(200, 230))
def test_the_files_on_disk_give_the_same_numbers(tmp_path, seed):
    """What the command does: read, pair, evaluate; results as a list and as a dataset whose photos are shuffled."""
    truth, found, sizes, categories = random_problem(seed)
    for kind in ("segm", "bbox"):
        dataset, results = as_json(truth, found, sizes, categories, kind)
        expected = published(truth, found, sizes, categories, kind).stats if results else None
        dataset["annotations"] = [one | {"id": one["id"] - 1} for one in dataset["annotations"]]  # from 0
        rng = np.random.default_rng(seed)
        new_id = dict(zip(range(1, len(sizes) + 1), rng.permutation(len(sizes)) + 1000, strict=True))
        shuffled = [one | {"id": int(new_id[one["id"]])} for one in dataset["images"][::-1]]
        moved = [one | {"id": i, "image_id": int(new_id[one["image_id"]])} for i, one in enumerate(results, 1)]
        as_dataset = {"images": shuffled, "categories": dataset["categories"][::-1], "annotations": moved}
        (tmp_path / "gt.json").write_text(json.dumps(dataset))
        for predictions in (results, as_dataset):
            (tmp_path / "pred.json").write_text(json.dumps(predictions))
            pairing = pair(read_truth(tmp_path / "gt.json"), read_predictions(tmp_path / "pred.json"))
            numbers = coco_numbers(
                pairing.truth, pairing.detections, sizes=pairing.sizes, categories=categories, kind=kind
            )
            if results:
                np.testing.assert_allclose(list(numbers.values()), expected, rtol=0, atol=1e-9)
            else:
                assert set(numbers.values()) <= {0.0, -1.0}


@pytest.mark.parametrize("engine", ["hotcoco", "pycocotools"])
@pytest.mark.parametrize("seed", range(1, 31, 3))
def test_own_thresholds_sizes_and_detections(seed, engine):
    truth, found, sizes, categories = random_problem(seed)
    if not len(found):
        return
    areas = {"all": (0, 1e10), "tiny": (0, 500), "rest": (500, 1e10)}
    params = CocoParams(iou_thrs=(0.3, 0.5, 0.625), areas=areas, max_dets=(2, 5))
    ours = coco_evaluate(truth, found, sizes=sizes, categories=categories, params=params, engine=engine)
    limits = {"areaRng": [list(one) for one in areas.values()], "areaRngLbl": list(areas)}
    direct = published(
        truth, found, sizes, categories, "segm", iouThrs=np.array(params.iou_thrs), maxDets=[2, 5], **limits
    ).eval
    np.testing.assert_allclose(ours.precision, direct["precision"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(ours.recall, direct["recall"], rtol=0, atol=1e-9)
    keys = "AP AP30 AP50 AP62.5 APtiny APrest AR2 AR5 ARtiny ARrest"
    assert list(ours.numbers) == keys.split() and not params.standard

    def mean(values):
        return values[values > -1].mean() if (values > -1).any() else -1

    assert ours.numbers["AP62.5"] == pytest.approx(mean(direct["precision"][2, ..., 0, 1]), abs=1e-9)
    assert ours.numbers["APrest"] == pytest.approx(mean(direct["precision"][..., 2, 1]), abs=1e-9)
    assert ours.numbers["AR2"] == pytest.approx(mean(direct["recall"][..., 0, 0]), abs=1e-9)


@pytest.mark.parametrize("seed", [3, 5, 10, 17])
def test_categories_and_curves_are_those_of_the_category_alone(seed):
    truth, found, sizes, categories = random_problem(seed)
    ours = coco_evaluate(truth, found, sizes=sizes, categories=categories)
    assert len(ours.per_category) == categories
    for k, one in enumerate(ours.per_category):
        alone = published(truth, found, sizes, categories, "segm", catIds=[k + 1])
        precision, recall = alone.eval["precision"][:, :, 0, 0, -1], alone.eval["recall"][:, 0, 0, -1]
        assert one["AP"] == pytest.approx(precision.mean(), abs=1e-9)
        assert one["AP75"] == pytest.approx(precision[5].mean(), abs=1e-9)
        assert one["AR"] == pytest.approx(recall.mean(), abs=1e-9)
        steps, curve = ours.curve(0.75, category=k)
        assert steps.tolist() == pytest.approx((np.arange(101) / 100).tolist())
        np.testing.assert_allclose(curve, np.where(precision[5] < 0, np.nan, precision[5]), atol=1e-9)
    _, whole = ours.curve(0.5)
    expected = ours.numbers["AP50"] if ours.numbers["AP50"] > -1 else np.nan  # a problem without truth
    assert whole.mean() == pytest.approx(expected, abs=1e-9, nan_ok=True)
    flat = ours.flat([f"c{k}" for k in range(categories)])
    assert flat["category/c0/AP50"] == ours.per_category[0]["AP50"] and flat["AP"] == ours.numbers["AP"]
    with pytest.raises(InputError, match=r"no curve at IoU 0\.42"):
        ours.curve(0.42)


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


def band(mask: np.ndarray, width: int) -> np.ndarray:
    """Pixels of the mask with a pixel outside (of the mask or of the photo) no farther than ``width``, one by one."""
    padded = np.pad(mask, width)
    h, w = mask.shape
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * width + 1, 2 * width + 1))
    return mask & ~windows.reshape(h, w, -1).all(axis=2)


@pytest.mark.parametrize("seed", range(4, 30, 5))
def test_boundary_ap_takes_the_lower_iou_of_mask_and_inner_band(seed):
    """Against COCOeval fed with IoUs of whole bitmaps."""
    truth, found, sizes, categories = random_problem(seed)
    width = round(0.02 * np.hypot(*SIZE))
    bitmaps = [np.array([masks.decode(one) for one in side.rle], bool).reshape(-1, *SIZE) for side in (truth, found)]
    bands = [np.array([band(one, width) for one in side], bool).reshape(-1, *SIZE) for side in bitmaps]

    def iou(sides, i, j):
        shared = (sides[0][i] & sides[1][j]).sum()
        whole = sides[1][j].sum() if truth.crowd[i] else (sides[0][i] | sides[1][j]).sum()
        return shared / whole if whole else 0.0

    class Reference(COCOeval):
        def computeIoU(self, image, category):
            rows = [one["id"] - 1 for one in self._gts[image, category]]
            dets = sorted(self._dts[image, category], key=lambda one: -one["score"])[:100]
            if not rows and not dets:
                return []
            table = [[min(iou(bitmaps, i, one["id"] - 1), iou(bands, i, one["id"] - 1)) for i in rows] for one in dets]
            return np.array(table).reshape(len(dets), len(rows))

    dataset, results = as_json(truth, found, sizes, categories, "segm")
    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO()
        gt.dataset = dataset
        gt.createIndex()
        evaluator = Reference(gt, gt.loadRes(results), "segm")
        evaluator.evaluate()
        evaluator.accumulate()
    ours = coco_evaluate(truth, found, sizes=sizes, categories=categories, kind="boundary")
    np.testing.assert_allclose(ours.precision, evaluator.eval["precision"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(ours.recall, evaluator.eval["recall"], rtol=0, atol=1e-9)
    assert ours.numbers["AP"] <= coco_numbers(truth, found, sizes=sizes, categories=categories)["AP"] + 1e-9


def in_batches(problem, seed: int, **options) -> list[CocoMetrics]:
    """Three ranks, each with some photos in some order; a few photos stand on two of them."""
    truth, found, sizes, categories = problem
    rng = np.random.default_rng(seed)
    order = np.r_[rng.permutation(len(sizes)), rng.integers(0, len(sizes), 2)]
    ranks = [CocoMetrics(categories, **options) for _ in range(3)]
    for place, photo in enumerate(order):
        own = [side.select(side.image == photo) for side in (truth, found)]
        own = [replace(side, image=np.zeros_like(side.image)) for side in own]
        ranks[place % 3].update(*own, [sizes[photo]], image_ids=[int(photo) + 10])
    return ranks


@pytest.mark.parametrize("seed", range(2, 42, 4))
def test_batches_and_ranks_give_the_numbers_of_the_whole(seed):
    problem = random_problem(seed)
    truth, found, sizes, categories = problem
    for kind in ("segm", "bbox"):
        whole = coco_evaluate(truth, found, sizes=sizes, categories=categories, kind=kind)
        first, *others = (pickle.loads(pickle.dumps(one)) for one in in_batches(problem, seed, kind=kind))
        for other in others:
            first.merge(other)
        assert first.compute().numbers == whole.numbers  # ties in score and all


def test_an_accumulator_without_ids_takes_batches_as_they_come():
    truth, found, sizes, categories = random_problem(3)
    metrics = CocoMetrics(categories)
    for photos in (range(1), range(1, len(sizes))):
        own = [side.select(np.isin(side.image, photos)) for side in (truth, found)]
        own = [replace(side, image=side.image - photos.start) for side in own]
        metrics.update(*own, [sizes[i] for i in photos])
    assert metrics.compute().numbers == coco_numbers(truth, found, sizes=sizes, categories=categories)
    assert set(CocoMetrics(2).compute().numbers.values()) == {-1.0}
    with pytest.raises(InputError, match="other categories or options"):
        metrics.merge(CocoMetrics(categories, kind="bbox"))
    with pytest.raises(InputError, match="in all or in none"):
        metrics.update(truth, found, sizes, image_ids=range(len(sizes)))
    with pytest.raises(InputError, match="image index"):
        metrics.update(truth, found, sizes[:0])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"iou_thrs": (0.5, 0.5)}, "ascending"),
        ({"iou_thrs": (0.0,)}, "above 0"),
        ({"max_dets": ()}, "whole numbers"),
        ({"areas": {"small": (0, 5)}}, '"all"'),
        ({"areas": {"all": (5, 0)}}, "lowest <= highest"),
        ({"areas": {"all": (0, 5), "s": (0, 1)}}, "called 's'"),
    ],
)
def test_odd_parameters_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        CocoParams(**options)


def test_mistakes_are_named():
    boxes = make_objects([0], [0], xywh=[[0, 0, 5, 5]])
    with pytest.raises(InputError, match="truth hold boxes only"):
        coco_numbers(boxes, boxes, sizes=[SIZE], categories=1, kind="segm")
    with pytest.raises(InputError, match="truth: category index 0"):
        coco_numbers(boxes, boxes, sizes=[SIZE], categories=0, kind="bbox")
    with pytest.raises(InputError, match="truth: image index 0; expected 0 to -1"):
        coco_numbers(boxes, boxes, sizes=[], categories=1, kind="bbox")
    with pytest.raises(InputError, match="finite"):
        make_objects([0, 0], [0, 0], xywh=[[0, 0, 5, 5]] * 2, score=[0.5, float("nan")])
    with pytest.raises(InputError, match="different lengths"):
        make_objects([0, 0], [0], xywh=[[0, 0, 5, 5]])
    with pytest.raises(InputError, match="neither boxes nor masks"):
        make_objects([0], [0])
