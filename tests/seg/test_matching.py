"""Matches worked by hand, and the promises of a greedy one-to-one matching on random masks."""

import cv2
import numpy as np
import pytest

from segattr.datasets import masks
from segattr.seg.coco_eval import make_objects
from segattr.seg.matching import best_boundary_f, greedy, match
from segattr.seg.metrics import binary_iou, boundary_f


def box(x0, y0, x1, y1, size=(60, 80)) -> dict:
    mask = np.zeros(size, np.uint8)
    mask[y0:y1, x0:x1] = 1
    return masks.encode(mask)


def test_by_hand():
    left, right = box(0, 0, 20, 20), box(40, 0, 60, 20)
    truth = make_objects([0, 0, 1, 1], [0, 1, 0, 0], rle=[left, right, left, right], crowd=[False, False, False, True])
    found = make_objects(
        [0, 0, 0, 1, 1, 2],
        [0, 0, 0, 0, 0, 0],
        # a tenth too short; a copy of it; nothing there; on the crowd region; half on it; on a photo without truth
        rle=[box(0, 0, 18, 20), box(0, 0, 18, 20), box(0, 30, 20, 50), box(40, 0, 50, 10), box(50, 0, 80, 20), left],
        score=[0.5, 0.9, 0.9, 0.9, 0.9, 0.9],
    )
    matches = match(truth, found, iou_thr=0.5)
    assert (matches.truth.tolist(), matches.detection.tolist()) == ([0], [1])  # equal IoU: the higher score
    assert matches.iou.tolist() == pytest.approx([0.9])
    assert matches.best_iou.tolist() == pytest.approx([0.9, 0, 0, 0])
    assert matches.best_detection.tolist() == [0, -1, -1, -1]
    assert matches.excused.tolist() == [False, False, False, True, False, False]


def test_the_best_pair_goes_first_and_each_side_once():
    iou = np.array([[0.9, 0.8, 0.0], [0.85, 0.6, 0.0]])
    assert greedy(iou, np.ones(3), 0.5) == [(0, 0), (1, 1)]
    assert greedy(iou, np.ones(3), 0.7) == [(0, 0)]
    assert greedy(np.zeros((2, 0)), np.zeros(0), 0.5) == []


def test_boxes_where_a_side_has_no_masks():
    truth = make_objects([0], [0], rle=[box(0, 0, 20, 20)])
    found = make_objects([0], [0], xywh=[[0, 0, 20, 10]])
    assert match(truth, found).iou.tolist() == [0.5]
    assert len(match(truth, make_objects([], [], xywh=[])).truth) == 0
    assert len(match(make_objects([], [], rle=[]), found).best_iou) == 0


def blob(rng) -> np.ndarray:
    mask = np.zeros((60, 80), np.uint8)
    centre, axes = rng.integers(0, 60, 2).tolist(), rng.integers(4, 40, 2).tolist()
    cv2.ellipse(mask, centre, axes, float(rng.integers(180)), 0, 360, 1, -1)
    return mask


@pytest.mark.parametrize("seed", range(8))
def test_random_masks(seed):
    rng = np.random.default_rng(seed)
    a, b = [blob(rng) for _ in range(9)], [blob(rng) for _ in range(11)]
    photo_a, photo_b = rng.integers(0, 3, 9), rng.integers(0, 3, 11)
    truth = make_objects(photo_a, np.zeros(9), rle=[masks.encode(m) for m in a])
    found = make_objects(photo_b, np.zeros(11), rle=[masks.encode(m) for m in b], score=rng.random(11))
    matches = match(truth, found, iou_thr=0.3)
    iou = np.array([[binary_iou(q, p) * (photo_a[i] == photo_b[j]) for j, q in enumerate(b)] for i, p in enumerate(a)])
    np.testing.assert_allclose(matches.best_iou, iou.max(axis=1), atol=1e-12)
    np.testing.assert_allclose(matches.iou, iou[matches.truth, matches.detection], atol=1e-12)
    assert (matches.iou >= 0.3).all()
    assert len(set(matches.truth)) == len(set(matches.detection)) == len(matches.truth)
    # Nothing is left over that two free sides could have had, and no pair was taken before a better one of its sides.
    mine, theirs = np.zeros(9), np.zeros(11)
    mine[matches.truth], theirs[matches.detection] = matches.iou, matches.iou
    assert ((iou < 0.3) | (np.maximum(mine[:, None], theirs) >= iou - 1e-12)).all()
    whole = [boundary_f(b[j], a[i], 3) if j >= 0 else 0.0 for i, j in enumerate(matches.best_detection)]
    np.testing.assert_allclose(best_boundary_f(truth, found, matches, tolerance_px=3), whole, atol=1e-12)
