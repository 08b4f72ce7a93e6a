"""Mask metrics against values worked by hand and against slow twins."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segattr.datasets.errors import InputError
from segattr.seg.metrics import MeanIoU, binary_iou, boundary_f, boundary_iou

SMALL = st.tuples(st.integers(1, 12), st.integers(1, 12))


def two_masks():
    return SMALL.flatmap(lambda shape: st.tuples(arrays(bool, shape), arrays(bool, shape)))


def square(y0, x0, y1, x1, size=(20, 20)):
    mask = np.zeros(size, np.uint8)
    mask[y0:y1, x0:x1] = 1
    return mask


def test_binary_iou_by_hand():
    assert binary_iou(square(0, 0, 4, 4), square(0, 2, 4, 6)) == pytest.approx(8 / 24)
    assert binary_iou(square(0, 0, 4, 4) * 255, square(0, 0, 4, 4)) == 1
    assert binary_iou(np.zeros((3, 3)), np.zeros((3, 3))) == 1
    assert binary_iou(np.zeros((3, 3)), np.ones((3, 3))) == 0


def test_masks_of_two_shapes_are_refused():
    for metric in (binary_iou, lambda a, b: boundary_f(a, b, 1), lambda a, b: boundary_iou(a, b, 1)):
        with pytest.raises(InputError, match="shapes"):
            metric(np.zeros((3, 4)), np.zeros((4, 3)))


def test_mean_iou_by_hand():
    metric = MeanIoU(4, ignore_index=255)
    metric.update(np.array([[0, 1, 1, 0]]), np.array([[0, 1, 2, 255]]))
    figures = metric.compute()
    assert figures["iou"][:3] == pytest.approx([1, 0.5, 0])
    assert math.isnan(figures["iou"][3])  # in neither: not in the mean
    assert figures["miou"] == pytest.approx(0.5)
    assert figures["pixel_accuracy"] == pytest.approx(2 / 3)


def test_mean_iou_of_nothing_is_nan():
    assert math.isnan(MeanIoU(2).compute()["miou"])


@given(st.integers(0, 2**32 - 1))
def test_merging_parts_equals_seeing_all(seed):
    rng = np.random.default_rng(seed)
    whole, left, right = MeanIoU(3), MeanIoU(3), MeanIoU(3)
    for part in (left, right):
        pred, truth = rng.integers(0, 3, (2, 5, 7), dtype=np.uint8)
        whole.update(pred, truth)
        part.update(pred, truth)
    left.merge(right)
    np.testing.assert_array_equal(left.confusion, whole.confusion)
    assert left.confusion.sum() == 70


@given(two_masks())
def test_mean_iou_of_two_classes_is_binary_iou(pair):
    pred, truth = pair
    metric = MeanIoU(2)
    metric.update(pred.astype(np.uint8), truth.astype(np.uint8))
    if (pred | truth).any():
        assert metric.compute()["iou"][1] == pytest.approx(binary_iou(pred, truth))


def test_labels_out_of_range_are_refused():
    metric = MeanIoU(2, ignore_index=255)
    with pytest.raises(InputError, match="prediction has labels"):
        metric.update(np.array([[2]]), np.array([[1]]))
    with pytest.raises(InputError, match="truth has labels"):
        metric.update(np.array([[1]]), np.array([[7]]))
    with pytest.raises(InputError, match="merged"):
        metric.merge(MeanIoU(3))


def slow_boundary_f(pred, truth, tolerance_px):
    def rim(mask):
        h, w = mask.shape
        steps = ((0, 1), (0, -1), (1, 0), (-1, 0))
        return [
            (y, x)
            for y in range(h)
            for x in range(w)
            if mask[y, x] and any(0 <= y + a < h and 0 <= x + b < w and not mask[y + a, x + b] for a, b in steps)
        ]

    a, b = rim(pred), rim(truth)
    if not a and not b:
        return float((pred == truth).all())
    if not a or not b:
        return 0.0
    near = lambda p, others: min(math.dist(p, q) for q in others) <= tolerance_px + 1e-3  # noqa: E731
    precision = sum(near(p, b) for p in a) / len(a)
    recall = sum(near(p, a) for p in b) / len(b)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@given(two_masks(), st.sampled_from([0, 1, 1.5, 2, 3, 8.5]))
def test_boundary_f_equals_its_slow_twin(pair, tolerance_px):
    assert boundary_f(*pair, tolerance_px) == pytest.approx(slow_boundary_f(*pair, tolerance_px))


def test_boundary_f_by_hand():
    truth = square(5, 5, 15, 15)
    assert boundary_f(truth, truth, 0) == 1
    shifted = square(5, 8, 15, 18)  # 3 px to the right
    assert boundary_f(shifted, truth, 3) == 1
    assert 0 < boundary_f(shifted, truth, 1) < 1
    empty, full = np.zeros((20, 20)), np.ones((20, 20))
    assert boundary_f(empty, empty, 2) == boundary_f(full, full, 2) == 1
    assert boundary_f(empty, full, 2) == boundary_f(empty, truth, 2) == boundary_f(truth, full, 2) == 0


def test_boundary_iou_by_hand():
    outer, inner = square(4, 4, 16, 16), square(5, 5, 15, 15)
    assert boundary_iou(outer, outer, 1) == 1
    assert boundary_iou(outer, inner, 1) == 0  # two rings, one within the other
    assert boundary_iou(outer, inner, 2) == pytest.approx(36 / (36 + 44 + 28))  # rings of 44 + 36 and 36 + 28
    assert boundary_iou(np.zeros((4, 4)), np.zeros((4, 4)), 2) == 1
    full = np.ones((6, 6))
    half = full * (np.arange(6) < 3)
    assert boundary_iou(full, half, 1) == pytest.approx(10 / 24)  # the photo's edge counts: rings of 20 and 14
