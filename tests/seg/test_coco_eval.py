"""The twelve numbers against pycocotools called directly, on random problems and on cases worked by hand."""

import json
from dataclasses import replace

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from segattr.datasets.errors import InputError
from segattr.seg.coco_eval import (
    COCO_KEYS,
    CocoParams,
    coco_evaluate,
    coco_numbers,
    make_objects,
)
from segattr.seg.pairing import pair, read_predictions, read_truth


@pytest.mark.parametrize("seed", range(200))
def test_both_engines_equal_pycocotools(seed, problems):
    truth, found, sizes, categories = problems.random_problem(seed)
    for kind in ("segm", "bbox"):
        fast, slow = (
            coco_evaluate(truth, found, sizes=sizes, categories=categories, kind=kind, engine=engine)
            for engine in ("hotcoco", "pycocotools")
        )
        assert tuple(fast.numbers) == COCO_KEYS
        np.testing.assert_allclose(list(fast.numbers.values()), list(slow.numbers.values()), rtol=0, atol=1e-9)
        if len(found):  # loadRes cannot read an empty list
            direct = problems.published(truth, found, sizes, categories, kind)
            np.testing.assert_allclose(list(fast.numbers.values()), direct.stats, rtol=0, atol=1e-9)
            np.testing.assert_allclose(fast.precision, direct.eval["precision"], rtol=0, atol=1e-9)
            np.testing.assert_allclose(fast.recall, direct.eval["recall"], rtol=0, atol=1e-9)


@pytest.mark.parametrize("seed", range(100, 120))
def test_class_agnostic_equals_use_cats_0(seed, problems):
    truth, found, sizes, categories = problems.random_problem(seed)
    # Without ties: useCats=0 orders equal scores by category id, which a class-blind figure should not know.
    score = np.random.default_rng(seed).permutation(len(found)) / max(1, len(found))
    found = replace(found, score=score)
    if not len(found):
        return
    for kind in ("segm", "bbox"):
        ours = coco_numbers(truth, found, sizes=sizes, categories=categories, kind=kind, class_agnostic=True)
        direct = problems.published(truth, found, sizes, categories, kind, agnostic=True)
        np.testing.assert_allclose(list(ours.values()), direct.stats, rtol=0, atol=1e-9)


@pytest.mark.parametrize("seed", range(200, 230))
def test_the_files_on_disk_give_the_same_numbers(tmp_path, seed, problems):
    """What the command does: read, pair, evaluate; results as a list and as a dataset whose photos are shuffled."""
    truth, found, sizes, categories = problems.random_problem(seed)
    for kind in ("segm", "bbox"):
        dataset, results = problems.as_json(truth, found, sizes, categories, kind)
        expected = problems.published(truth, found, sizes, categories, kind).stats if results else None
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
def test_own_thresholds_sizes_and_detections(seed, engine, problems):
    truth, found, sizes, categories = problems.random_problem(seed)
    if not len(found):
        return
    areas = {"all": (0, 1e10), "tiny": (0, 500), "rest": (500, 1e10)}
    params = CocoParams(iou_thrs=(0.3, 0.5, 0.625), areas=areas, max_dets=(2, 5))
    ours = coco_evaluate(truth, found, sizes=sizes, categories=categories, params=params, engine=engine)
    limits = {"areaRng": [list(one) for one in areas.values()], "areaRngLbl": list(areas)}
    direct = problems.published(
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
def test_categories_and_curves_are_those_of_the_category_alone(seed, problems):
    truth, found, sizes, categories = problems.random_problem(seed)
    ours = coco_evaluate(truth, found, sizes=sizes, categories=categories)
    assert len(ours.per_category) == categories
    for k, one in enumerate(ours.per_category):
        alone = problems.published(truth, found, sizes, categories, "segm", catIds=[k + 1])
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
def test_no_detections_no_truth_nothing_at_all(engine, problems):
    rle = problems.random_mask(np.random.default_rng(0))
    one, none = make_objects([0], [0], rle=[rle]), make_objects([], [], rle=[])
    options = {"sizes": [problems.SIZE], "categories": 1, "engine": engine}
    assert coco_numbers(one, none, **options)["AP"] == 0.0
    assert set(coco_numbers(none, one, **options).values()) == {-1.0}
    assert set(coco_numbers(none, none, **options).values()) == {-1.0}


def test_unknown_category_counts_only_where_classes_do_not(problems):
    rle = problems.random_mask(np.random.default_rng(0))
    truth = make_objects([0], [0], rle=[rle])
    found = make_objects([0], [-1], rle=[rle])
    options = {"sizes": [problems.SIZE], "categories": 1}
    assert coco_numbers(truth, found, **options)["AP"] == 0.0
    assert coco_numbers(truth, found, class_agnostic=True, **options)["AP"] == pytest.approx(1.0)


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


def test_mistakes_are_named(problems):
    boxes = make_objects([0], [0], xywh=[[0, 0, 5, 5]])
    with pytest.raises(InputError, match="truth hold boxes only"):
        coco_numbers(boxes, boxes, sizes=[problems.SIZE], categories=1, kind="segm")
    with pytest.raises(InputError, match="truth: category index 0"):
        coco_numbers(boxes, boxes, sizes=[problems.SIZE], categories=0, kind="bbox")
    with pytest.raises(InputError, match="truth: image index 0; expected 0 to -1"):
        coco_numbers(boxes, boxes, sizes=[], categories=1, kind="bbox")
    with pytest.raises(InputError, match="finite"):
        make_objects([0, 0], [0, 0], xywh=[[0, 0, 5, 5]] * 2, score=[0.5, float("nan")])
    with pytest.raises(InputError, match="different lengths"):
        make_objects([0, 0], [0], xywh=[[0, 0, 5, 5]])
    with pytest.raises(InputError, match="neither boxes nor masks"):
        make_objects([0], [0])
