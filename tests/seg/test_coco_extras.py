"""Boundary AP, federated truth, and the evaluation over batches and ranks, against slow twins."""

import contextlib
import io
import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from segattr.datasets import masks
from segattr.datasets.errors import InputError
from segattr.seg.coco_eval import (
    CocoMetrics,
    Federated,
    coco_evaluate,
    coco_numbers,
    make_objects,
)
from segattr.seg.federated import best_of_photos, federated_truth
from segattr.seg.pairing import read_truth


def band(mask: np.ndarray, width: int) -> np.ndarray:
    """Pixels of the mask with a pixel outside (of the mask or of the photo) no farther than ``width``, one by one."""
    padded = np.pad(mask, width)
    h, w = mask.shape
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * width + 1, 2 * width + 1))
    return mask & ~windows.reshape(h, w, -1).all(axis=2)


@pytest.mark.parametrize("seed", range(4, 30, 5))
def test_boundary_ap_takes_the_lower_iou_of_mask_and_inner_band(seed, problems):
    """Against COCOeval fed with IoUs of whole bitmaps."""
    truth, found, sizes, categories = problems.random_problem(seed)
    width = round(0.02 * np.hypot(*problems.SIZE))
    bitmaps = [
        np.array([masks.decode(one) for one in side.rle], bool).reshape(-1, *problems.SIZE) for side in (truth, found)
    ]
    bands = [np.array([band(one, width) for one in side], bool).reshape(-1, *problems.SIZE) for side in bitmaps]

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

    dataset, results = problems.as_json(truth, found, sizes, categories, "segm")
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


class Lvis(COCOeval):
    """COCOeval with the two rules of federated truth."""

    negative: list
    partly: list

    def evaluateImg(self, image, category, area, most):
        gt, dt = self._gts[image, category], self._dts[image, category]
        if not gt and category not in self.negative[image - 1]:
            dt.clear()
        found = super().evaluateImg(image, category, area, most)
        if found is not None and category in self.partly[image - 1]:
            found["dtIgnore"] = np.logical_or(found["dtIgnore"], found["dtMatches"] == 0)
        return found


@pytest.mark.parametrize("seed", range(3, 33, 2))
def test_federated_truth_drops_what_was_not_looked_for(seed, problems):
    truth, found, sizes, categories = problems.random_problem(seed)
    truth = replace(truth, crowd=np.zeros(len(truth), bool))
    rng = np.random.default_rng(seed)
    absent = [
        [k for k in range(categories) if not ((truth.image == i) & (truth.category == k)).any()]
        for i in range(len(sizes))
    ]
    negative = [[k for k in one if rng.random() < 0.5] for one in absent]
    partly = [[k for k in range(categories) if k not in one and rng.random() < 0.5] for one in absent]
    frequency = ["rcf"[i] for i in rng.integers(3, size=categories)]
    if not len(found):
        return
    ours = coco_evaluate(
        truth, found, sizes=sizes, categories=categories, federated=Federated(negative, partly, frequency)
    )
    dataset, results = problems.as_json(truth, found, sizes, categories, "segm")
    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO()
        gt.dataset = dataset
        gt.createIndex()
        evaluator = Lvis(gt, gt.loadRes(results), "segm")
        evaluator.negative, evaluator.partly = ([[k + 1 for k in one] for one in side] for side in (negative, partly))
        evaluator.params.maxDets = [300]
        evaluator.evaluate()
        evaluator.accumulate()
    np.testing.assert_allclose(ours.precision, evaluator.eval["precision"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(ours.recall, evaluator.eval["recall"], rtol=0, atol=1e-9)
    rare = evaluator.eval["precision"][:, :, [k for k in range(categories) if frequency[k] == "r"], 0, 0]
    assert ours.numbers["APr"] == pytest.approx(rare[rare > -1].mean() if (rare > -1).any() else -1, abs=1e-9)
    assert "AR300" in ours.numbers and "AR100" not in ours.numbers


def test_a_file_in_the_form_of_lvis_says_what_was_looked_for(tmp_path, problems):
    truth, found, sizes, categories = problems.random_problem(7)
    dataset, _ = problems.as_json(truth, found, sizes, categories, "segm")

    def said():
        (tmp_path / "gt.json").write_text(json.dumps(dataset))
        return federated_truth(read_truth(tmp_path / "gt.json"))

    assert said() is None
    for image in dataset["images"]:
        image |= {"neg_category_ids": [2], "not_exhaustive_category_ids": [1]}
    dataset["categories"][0]["frequency"] = "r"
    assert said() == Federated([[1]] * len(sizes), [[0]] * len(sizes), ["r"] + [None] * (categories - 1))
    dataset["images"][0]["neg_category_ids"] = [99]
    with pytest.raises(InputError, match=r"0\.jpg: neg_category_ids is \[99\]"):
        said()


def test_a_photo_keeps_its_best_detections():
    found = make_objects([1, 0, 1, 1, 0], [0] * 5, xywh=[[0, 0, 1, 1]] * 5, score=[0.5, 0.1, 0.5, 0.9, 0.2])
    assert best_of_photos(found, 2).score.tolist() == [0.5, 0.1, 0.9, 0.2]
    assert best_of_photos(found, 1).score.tolist() == [0.9, 0.2]


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
def test_batches_and_ranks_give_the_numbers_of_the_whole(seed, problems):
    problem = problems.random_problem(seed)
    truth, found, sizes, categories = problem
    for kind in ("segm", "bbox"):
        whole = coco_evaluate(truth, found, sizes=sizes, categories=categories, kind=kind)
        first, *others = (pickle.loads(pickle.dumps(one)) for one in in_batches(problem, seed, kind=kind))
        for other in others:
            first.merge(other)
        assert first.compute().numbers == whole.numbers  # ties in score and all


def test_an_accumulator_without_ids_takes_batches_as_they_come(problems):
    truth, found, sizes, categories = problems.random_problem(3)
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
