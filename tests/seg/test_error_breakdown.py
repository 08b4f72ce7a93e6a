"""The breakdown of AP: every cause by hand, and prices against COCO numbers of detections that were really mended."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from segattr.datasets import masks
from segattr.datasets.errors import InputError
from segattr.seg.coco_eval import coco_numbers, make_objects
from segattr.seg.error_breakdown import (
    CUT,
    ERRORS,
    EXCUSED,
    SPECIAL,
    TRUE_POSITIVE,
    ErrorMetrics,
    error_breakdown,
)

SIZE = (200, 200)
BOX = [10, 10, 20, 20]
HALF_OFF = [10, 20, 20, 20]  # IoU with BOX 1/3
AWAY = [100, 100, 20, 20]
BARELY = [10, 27, 20, 20]  # IoU with BOX 3/37, below the background threshold


def random_problem(seed: int, *, masked: bool = False):
    """Crowds, ties, wrong categories, shifted boxes, unknown categories, photos without truth or detections."""
    rng = np.random.default_rng(seed)
    photos, categories, n = int(rng.integers(1, 7)), int(rng.integers(1, 5)), int(rng.integers(1, 22))
    image, category = rng.integers(0, photos, n), rng.integers(0, categories, n)
    xywh = np.c_[rng.integers(0, 90, (n, 2)), rng.integers(8, 45, (n, 2))].astype(float)
    hits, more = rng.integers(0, n, int(rng.integers(0, 50))), int(rng.integers(0, 12))
    shift = rng.normal(0, 1, (len(hits), 4)) * rng.choice([0.5, 4, 9], (len(hits), 1))
    found = np.r_[xywh[hits] + shift, np.c_[rng.uniform(0, 90, (more, 2)), rng.uniform(8, 45, (more, 2))]]
    found[:, 2:] = found[:, 2:].clip(3)
    found_category = np.where(rng.random(len(hits)) < 0.65, category[hits], rng.integers(-1, categories, len(hits)))
    score = rng.choice([0.2, 0.5, rng.random(), rng.random(), rng.random()], len(found))
    rle = [[rectangle(one) for one in boxes] if masked else None for boxes in (xywh, found)]
    truth = make_objects(image, category, xywh=xywh, rle=rle[0], crowd=rng.random(n) < 0.12)
    detections = make_objects(
        np.r_[image[hits], rng.integers(0, photos, more)],
        np.r_[found_category, rng.integers(0, categories, more)],
        xywh=found,
        rle=rle[1],
        score=score,
    )
    return truth, detections, photos, categories


def rectangle(xywh) -> dict:
    mask = np.zeros((150, 150), np.uint8)
    x, y, w, h = (max(0, round(v)) for v in xywh)
    mask[y : y + h, x : x + w] = 1
    return masks.encode(mask)


def ap50(truth, detections, photos: int, k: int) -> float:
    """COCO's own AP50 of one category; where no truth is left: 1 if nothing is detected either."""
    crowd_only = truth.crowd[truth.category == k].all()
    one = [objects.select(objects.category == k) for objects in (truth, detections)]
    if crowd_only:
        return float(len(one[1]) == 0)
    one = [replace(objects, category=np.zeros_like(objects.category)) for objects in one]
    return coco_numbers(*one, sizes=[SIZE] * photos, categories=1, kind="bbox")["AP50"]


def twin(truth, detections, photos: int, categories: int):
    """Slow and literal: causes by loops, prices by mending boxes and counting again."""
    m, n = len(detections), len(truth)
    iou = np.zeros((m, n))
    for j in range(m):
        for i in range(n):
            if detections.image[j] == truth.image[i]:
                crowd = [int(truth.crowd[i])]
                iou[j, i] = coco_mask.iou(detections.xywh[j : j + 1], truth.xywh[i : i + 1], crowd)[0, 0]
    cause, target, taken = [""] * m, [-1] * m, set()
    best_first = sorted(range(m), key=lambda j: (-detections.score[j], j))

    def same(j, i):
        return detections.category[j] == truth.category[i]

    for j in best_first:
        open_ = [i for i in range(n) if same(j, i) and not truth.crowd[i] and i not in taken and iou[j, i] >= 0.5]
        if open_:
            target[j] = max(open_, key=lambda i: (iou[j, i], i))
            taken.add(target[j])
            cause[j] = "true"
        elif any(same(j, i) and truth.crowd[i] and iou[j, i] >= 0.5 for i in range(n)):
            cause[j] = "excused"
    products = [i for i in range(n) if not truth.crowd[i]]
    for j in range(m):
        if cause[j]:
            continue
        own = max((i for i in products if same(j, i)), key=lambda i: (iou[j, i], -i), default=None)
        other = max((i for i in products if not same(j, i)), key=lambda i: (iou[j, i], -i), default=None)
        own_iou, other_iou = (0.0 if i is None else iou[j, i] for i in (own, other))
        if 0.1 <= own_iou < 0.5:
            cause[j], target[j] = "localisation", own
        elif other_iou >= 0.5:
            cause[j], target[j] = "classification", other
        elif own_iou >= 0.5:
            cause[j], target[j] = "duplicate", own
        else:
            cause[j] = "background" if max(own_iou, other_iou) <= 0.1 else "both"
    mends: dict[int, int] = {}  # open product -> the detection that becomes its true positive
    for j in best_first:
        if cause[j] in ("classification", "localisation") and target[j] not in taken:
            mends.setdefault(target[j], j)
    missed = [i for i in products if i not in taken and i not in mends]
    cause = np.array(cause, object)

    def mean(new_truth, new_detections):
        return np.mean(
            [ap50(new_truth, new_detections, photos, k) for k in sorted({truth.category[i] for i in products})]
        )

    def without(gone):
        return truth.select(np.array([i not in gone for i in range(n)], bool))

    base, prices = mean(truth, detections), {}
    for name in ERRORS[:-1]:
        xywh, category, keep = detections.xywh.copy(), detections.category.copy(), cause != name
        if name in ("classification", "localisation"):
            for i, j in mends.items():
                if cause[j] == name:
                    xywh[j], category[j], keep[j] = truth.xywh[i], truth.category[i], True
        edited = replace(detections, xywh=xywh, category=category).select(keep.astype(bool))
        prices[name] = mean(truth, edited) - base
    prices["missed"] = mean(without(missed), detections) - base
    prices["false_negative"] = mean(without([i for i in products if i not in taken]), detections) - base
    prices["false_positive"] = mean(truth, detections.select((cause == "true") | (cause == "excused"))) - base
    return base, prices, cause, target, missed


@pytest.mark.parametrize("block", range(10))
def test_equals_mended_detections_evaluated_again(block):
    for seed in range(10 * block, 10 * block + 10):
        truth, detections, photos, categories = random_problem(seed)
        if truth.crowd.all():
            continue
        base, prices, cause, target, missed = twin(truth, detections, photos, categories)
        found = error_breakdown(truth, detections, categories=categories, kind="bbox")
        assert found.ap == pytest.approx(base, abs=1e-12)
        names = {TRUE_POSITIVE: "true", EXCUSED: "excused"} | dict(enumerate(ERRORS))
        assert [names[i] for i in found.error.tolist()] == cause.tolist()
        assert found.target.tolist() == target
        assert np.flatnonzero(found.missed).tolist() == missed
        assert set(prices) == set(found.delta_ap) == set(ERRORS + SPECIAL)
        for name, price in prices.items():
            assert found.delta_ap[name] == pytest.approx(price, abs=1e-12), (seed, name)
            assert price > -1e-12
        for name in ERRORS[:-1]:
            assert found.counts[name] == (cause == name).sum()


@pytest.mark.parametrize("agnostic", [False, True])
def test_ap_is_cocos_ap50_with_masks_crowds_and_ties(agnostic):
    for seed in range(200, 215):
        truth, detections, photos, categories = random_problem(seed, masked=True)
        options = {"categories": categories, "class_agnostic": agnostic}
        found = error_breakdown(truth, detections, **options)
        coco = coco_numbers(truth, detections, sizes=[(150, 150)] * photos, **options)
        assert found.ap == pytest.approx(coco["AP50"], abs=1e-9)


def test_past_the_hundredth_detection_nothing_counts():
    """The 101st would be the only true positive; a second category has its own hundred."""
    boxes = [AWAY] * 100 + [BOX, BOX]
    detections = make_objects([0] * 102, [0] * 101 + [1], xywh=boxes, score=[*np.linspace(0.9, 0.5, 100), 0.4, 0.3])
    truth = make_objects([0, 0], [0, 1], xywh=[BOX, BOX])
    found = error_breakdown(truth, detections, categories=2, kind="bbox")
    assert found.error[100] == CUT
    assert found.error[101] == TRUE_POSITIVE
    assert found.category_ap == pytest.approx([0, 1])
    assert found.counts["background"] == 100
    assert error_breakdown(truth, detections, categories=2, kind="bbox", max_dets=101).counts["missed"] == 0


@pytest.mark.parametrize(
    ("boxes", "categories", "cause", "mended"),
    [
        ([HALF_OFF], [0], "localisation", 1.0),
        ([BOX], [1], "classification", 1.0),
        ([HALF_OFF], [1], "both", 0.0),
        ([AWAY], [0], "background", 0.0),
        ([BARELY], [0], "background", 0.0),
        ([BOX], [-1], "classification", 1.0),
    ],
)
def test_one_wrong_detection_of_one_product(boxes, categories, cause, mended):
    truth = make_objects([0], [0], xywh=[BOX])
    detections = make_objects([0], categories, xywh=boxes, score=[0.9])
    found = error_breakdown(truth, detections, categories=2, kind="bbox")
    assert ERRORS[found.error[0]] == cause
    assert found.ap == 0
    assert found.delta_ap[cause] == mended
    assert found.target[0] == (0 if cause in ("localisation", "classification") else -1)
    assert found.missed[0] == (mended == 0)
    assert found.flat("errors/bbox")[f"errors/bbox/{cause}/count"] == 1


def test_a_better_scored_wrong_one_before_the_right_one():
    """One duplicate after: costs nothing. One background before: precision 1/2 at every recall."""
    truth = make_objects([0], [0], xywh=[BOX])
    twice = make_objects([0, 0], [0, 0], xywh=[BOX, BOX], score=[0.9, 0.8])
    found = error_breakdown(truth, twice, categories=1, kind="bbox")
    assert (found.ap, found.counts["duplicate"], found.delta_ap["duplicate"]) == (1, 1, 0)
    before = make_objects([0, 0], [0, 0], xywh=[AWAY, BOX], score=[0.9, 0.8])
    found = error_breakdown(truth, before, categories=1, kind="bbox")
    assert found.ap == pytest.approx(0.5)
    assert found.delta_ap["background"] == found.delta_ap["false_positive"] == pytest.approx(0.5)


def test_of_two_products_that_fit_equally_well_the_last_is_taken_as_in_coco():
    truth = make_objects([0, 0], [0, 0], xywh=[BOX, BOX])
    found = error_breakdown(truth, make_objects([0], [0], xywh=[BOX]), categories=1, kind="bbox")
    assert found.target.tolist() == [1]
    assert found.missed.tolist() == [True, False]


def test_only_the_most_confident_of_two_can_be_mended():
    """Both aim at one product: the box (0.9) is mended, the category (0.8) only dropped."""
    truth = make_objects([0], [0], xywh=[BOX])
    detections = make_objects([0, 0], [1, 0], xywh=[BOX, HALF_OFF], score=[0.8, 0.9])
    found = error_breakdown(truth, detections, categories=2, kind="bbox")
    assert found.delta_ap["localisation"] == 1
    assert found.delta_ap["classification"] == found.delta_ap["missed"] == 0


def test_everything_missed_nothing_at_all_and_an_empty_category():
    truth, none = make_objects([0, 2], [0, 0], xywh=[BOX, BOX]), make_objects([], [], xywh=[])
    found = error_breakdown(truth, none, categories=2, kind="bbox")
    assert (found.ap, found.counts["missed"], found.delta_ap["missed"]) == (0, 2, 1)
    assert np.isnan(found.category_ap).tolist() == [False, True]
    for detections in (none, truth):
        found = error_breakdown(none, detections, categories=2, kind="bbox")
        assert (found.ap, set(found.delta_ap.values())) == (-1, {0})
    assert found.counts["background"] == 2


def test_batches_and_processes_give_the_same():
    """Photos dealt out to two processes in two batches each; one of them through pickle."""
    for seed in range(300, 320):
        truth, detections, photos, categories = random_problem(seed)
        whole = error_breakdown(truth, detections, categories=categories, kind="bbox")
        workers = [ErrorMetrics(categories, kind="bbox") for _ in range(2)]
        for photo in reversed(range(photos)):
            one = [objects.select(objects.image == photo) for objects in (truth, detections)]
            one = [replace(objects, image=np.zeros_like(objects.image)) for objects in one]
            workers[photo % 2].update(*one, [SIZE], [photo])
            if photo == 0:  # once more, as a sampler repeats photos
                workers[1].update(*one, [SIZE], [photo])
        found = workers[0].merge(pickle.loads(pickle.dumps(workers[1]))).compute()
        assert len(found.error) == len(detections)
        assert found.flat() == pytest.approx(whole.flat(), abs=1e-12)
        np.testing.assert_allclose(found.category_ap, whole.category_ap)
    assert ErrorMetrics(2).compute().ap == -1


def test_without_ids_photos_stand_in_the_order_seen():
    """Two batches of a photo each and equal scores: whether the right one comes first decides the precision."""
    truth, none = make_objects([0], [0], xywh=[BOX]), make_objects([], [], xywh=[])
    wrong = (none, make_objects([0], [0], xywh=[AWAY]), [SIZE])
    right = (truth, make_objects([0], [0], xywh=[BOX]), [SIZE])
    for batches, ap in (((wrong, right), 0.5), ((right, wrong), 1.0)):
        one, other = (ErrorMetrics(1, kind="bbox") for _ in range(2))
        one.update(*batches[0])
        other.update(*batches[1])
        assert one.merge(other).compute().ap == pytest.approx(ap)
    with pytest.raises(InputError, match="some batches only"):
        one.update(*right, [7])


def test_mistakes_are_named():
    boxes = make_objects([1], [0], xywh=[BOX])
    with pytest.raises(InputError, match="hold boxes only"):
        error_breakdown(boxes, boxes, categories=1)
    with pytest.raises(InputError, match="bg_thr"):
        error_breakdown(boxes, boxes, categories=1, kind="bbox", bg_thr=0.6)
    with pytest.raises(InputError, match="on 2 photos, but 1 sizes"):
        ErrorMetrics(1, kind="bbox").update(boxes, boxes, [SIZE])
    with pytest.raises(InputError, match="different options"):
        ErrorMetrics(1).merge(ErrorMetrics(2))
