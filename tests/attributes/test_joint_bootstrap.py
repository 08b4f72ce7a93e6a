"""The joint AP of weighted photos against the joint AP of sets in which the photos really lie that often."""

import numpy as np
import pytest

from segattr.attributes.joint_ap import JointApMetrics
from segattr.attributes.joint_bootstrap import joint_ranked
from segattr.seg.ap_bootstrap import average_precision
from segattr.seg.coco_eval import make_objects

PHOTOS, CATEGORIES = 6, 3


def problem(seed: int):
    """Boxes of two of three categories on five of six photos; scores tie between photos only; some sets unknown."""
    random = np.random.default_rng(seed)
    image = np.sort(random.integers(0, PHOTOS - 1, 20))
    corner, side = random.integers(0, 40, (20, 2)), random.integers(8, 25, (20, 2))
    category, crowd = random.integers(0, CATEGORIES - 1, 20), random.random(20) < 0.1
    truth = make_objects(image, category, xywh=np.hstack([corner, side]), crowd=crowd)
    sets = [None if random.random() < 0.2 else set(random.integers(0, 5, 3).tolist()) for _ in range(20)]
    near = random.integers(0, 20, 40)
    near.sort()
    xywh = truth.xywh[near] + random.integers(-2, 3, (40, 4))
    place = np.arange(40) - np.searchsorted(image[near], image[near])
    found = make_objects(image[near], category[near], xywh=xywh, score=(place + 1) / 41)
    said = [set(sets[i] or ()) ^ set(random.integers(0, 5, random.integers(0, 2)).tolist()) for i in near]
    return truth, sets, found, said


def measured(truth, sets, found, said, photos: int) -> JointApMetrics:
    metric = JointApMetrics(CATEGORIES, kind="bbox")
    metric.update(truth, found, sets, said, [(64, 64)] * photos)
    return metric


def repeated(objects, sets, times):
    """Photo i `times[i]` times over, as photos of their own."""
    parts = [np.flatnonzero(objects.image == i) for i, count in enumerate(times) for _ in range(count)]
    rows = np.concatenate(parts).astype(np.int64)
    image = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    picked = objects.select(rows)
    options = {"xywh": picked.xywh, "crowd": picked.crowd, "score": picked.score}
    return make_objects(image, picked.category, **options), [sets[i] for i in rows]


@pytest.mark.parametrize("seed", range(6))
def test_a_draw_is_the_set_in_which_photos_lie_that_often(seed):
    truth, sets, found, said = problem(seed)
    weights = np.random.default_rng(seed).multinomial(PHOTOS, np.full(PHOTOS, 1 / PHOTOS), size=5)
    weights[0] = 1
    drawn = average_precision(joint_ranked(measured(truth, sets, found, said, PHOTOS), PHOTOS), weights)
    for row, times in zip(drawn.reshape(len(weights), 10, 10), weights, strict=True):
        numbers = (
            measured(*repeated(truth, sets, times), *repeated(found, said, times), int(times.sum())).compute().numbers
        )
        expected = [numbers[key] for key in ("AP", "AP50", "AP_F175", "AP_IOU75_F150")]
        assert [row.mean(), row[0].mean(), row[:, 5].mean(), row[5, 0]] == pytest.approx(expected, abs=1e-9)
