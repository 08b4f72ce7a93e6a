"""AP of weighted photos against COCO's own numbers on sets in which the photos really lie that often."""

import numpy as np
import pytest

from segattr.datasets.errors import InputError
from segattr.seg.ap_bootstrap import average_precision, ranked
from segattr.seg.coco_eval import coco_numbers, make_objects

IMAGES, CATEGORIES = 8, 3


def problem(seed: int, *, many: bool = False):
    """Random boxes, crowds, an empty photo, an empty category, unknown categories; scores tie between photos only.

    (Where scores tie inside one photo, a photo that lies twice in a set mixes them up: the order is then arbitrary.)
    """
    random = np.random.default_rng(seed)

    def columns(count, scored):
        image = np.sort(random.integers(0, IMAGES - 1, count))
        corner, side = random.integers(0, 30, (count, 2)), random.integers(8, 25, (count, 2))
        category = random.integers(-1 if scored else 0, CATEGORIES - 1, count)
        place = np.arange(count) - np.searchsorted(image, image)
        score = (place + 1) / count if scored else None
        crowd = None if scored else random.random(count) < 0.15
        return make_objects(image, category, xywh=np.hstack([corner, side]), score=score, crowd=crowd)

    return columns(25, False), columns(2500 if many else 60, True)


def repeated(objects, times):
    """Photo i `times[i]` times over, as photos of their own."""
    parts = []
    for i, count in enumerate(times):
        parts += [np.flatnonzero(objects.image == i)] * int(count)
    rows = np.concatenate(parts).astype(np.int64)
    image = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    picked = objects.select(rows)
    return make_objects(
        image, picked.category, xywh=picked.xywh, area=picked.area, crowd=picked.crowd, score=picked.score
    )


@pytest.mark.parametrize("agnostic", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_a_draw_is_the_set_in_which_photos_lie_that_often(seed, agnostic):
    truth, detections = problem(seed, many=seed == 0)
    weights = np.random.default_rng(seed).multinomial(IMAGES, np.full(IMAGES, 1 / IMAGES), size=6)
    weights[0] = 1
    options = {"categories": CATEGORIES, "kind": "bbox", "class_agnostic": agnostic}
    found = average_precision(ranked(truth, detections, images=IMAGES, **options), weights)
    for row, times in zip(found, weights, strict=True):
        sizes = [(64, 64)] * int(times.sum())
        expected = coco_numbers(repeated(truth, times), repeated(detections, times), sizes=sizes, **options)
        assert [row.mean(), row[0], row[5]] == pytest.approx(
            [expected[key] for key in ("AP", "AP50", "AP75")], abs=1e-9
        )


def test_without_truth_there_is_no_ap_and_without_detections_it_is_0():
    truth, detections = problem(1)
    nothing = detections.select(np.zeros(len(detections), bool))
    options = {"images": IMAGES, "categories": CATEGORIES, "kind": "bbox"}
    ones = np.ones((1, IMAGES), np.int64)
    assert (average_precision(ranked(truth, nothing, **options), ones) == 0).all()
    no_truth = truth.select(np.zeros(len(truth), bool))
    assert np.isnan(average_precision(ranked(no_truth, detections, **options), ones)).all()
    with pytest.raises(InputError, match="masks"):
        ranked(truth, detections, images=IMAGES, categories=CATEGORIES)
