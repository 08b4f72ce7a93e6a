"""Masks against pycocotools called directly, and against themselves there and back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask

from segattr.datasets import masks
from segattr.datasets.errors import InputError

SHAPES = st.tuples(st.integers(1, 24), st.integers(1, 24))
MASKS = SHAPES.flatmap(lambda shape: arrays(np.uint8, shape, elements=st.integers(0, 1)))
COORDINATES = st.floats(-5, 30, allow_nan=False, width=32)
POLYGONS = st.lists(
    st.lists(st.tuples(COORDINATES, COORDINATES), min_size=3, max_size=8).map(
        lambda points: [v for p in points for v in p]
    ),
    min_size=1,
    max_size=3,
)
CORNERS = [np.zeros((5, 7), np.uint8), np.ones((5, 7), np.uint8), np.eye(1, dtype=np.uint8), np.zeros((1, 1), np.uint8)]


def reference(mask):
    rle = coco_mask.encode(np.asfortranarray(mask))
    return {"size": rle["size"], "counts": rle["counts"].decode()}


def test_runs_by_hand():
    mask = np.array([[0, 1, 1], [0, 1, 0]], np.uint8)  # column by column: 00 11 10
    rle = masks.encode(mask)
    assert rle == {"size": [2, 3], "counts": "231"}
    assert masks.counts(rle).tolist() == [2, 3, 1]
    assert masks.area(rle) == 3
    assert masks.xywh(rle) == (1, 0, 2, 2)
    np.testing.assert_array_equal(masks.decode(rle), mask)


@given(MASKS)
def test_encode_equals_pycocotools_and_decode_takes_it_back(mask):
    rle = masks.encode(mask)
    assert rle == reference(mask)
    assert rle == masks.encode(mask.astype(bool)) == masks.encode(mask * 255) == masks.encode(np.asfortranarray(mask))
    back = masks.decode(rle)
    assert back.dtype == np.uint8
    assert back.flags.c_contiguous
    np.testing.assert_array_equal(back, mask)
    assert masks.area(rle) == mask.sum()


@pytest.mark.parametrize("mask", CORNERS)
def test_empty_full_and_single_pixel(mask):
    rle = masks.encode(mask)
    np.testing.assert_array_equal(masks.decode(rle), mask)
    np.testing.assert_array_equal(masks.from_polygons(masks.polygons(mask), *mask.shape), mask)
    assert masks.xywh(rle) == ((0, 0, *mask.shape[::-1]) if mask.any() else (0, 0, 0, 0))


@given(MASKS)
def test_every_form_of_counts_is_taken(mask):
    h, w = mask.shape
    text = masks.encode(mask)
    runs = {"size": [h, w], "counts": masks.counts(text).tolist()}
    raw = {"size": [h, w], "counts": text["counts"].encode()}
    assert runs["counts"] == [int(n) for n in masks.counts(raw)]
    for form in (text, runs, raw):
        assert masks.to_rle(form, h, w) == text
        assert masks.area(form) == mask.sum()
        assert masks.xywh(form) == masks.xywh(text)
        np.testing.assert_array_equal(masks.decode(form), mask)


@given(st.integers(1, 4), SHAPES, st.integers(0, 2**32 - 1))
def test_many_at_once(n, shape, seed):
    stack = np.random.default_rng(seed).integers(0, 2, (n, *shape), dtype=np.uint8)
    rles = masks.encode_many(stack)
    assert rles == [masks.encode(mask) for mask in stack]
    np.testing.assert_array_equal(masks.decode_many(rles), stack)


def test_none_at_once():
    assert masks.encode_many(np.zeros((0, 4, 5))) == []
    assert masks.decode_many([]).shape == (0, 0, 0)


@given(POLYGONS, SHAPES)
def test_polygons_become_what_pycocotools_makes_of_them(polygons, shape):
    expected = coco_mask.merge(coco_mask.frPyObjects(polygons, *shape))
    assert masks.to_rle(polygons, *shape) == {"size": list(shape), "counts": expected["counts"].decode()}


def test_no_polygons_are_an_empty_mask():
    assert masks.area(masks.to_rle([], 4, 5)) == 0


@given(MASKS)
@settings(max_examples=300)
def test_polygons_and_back_loses_nothing(mask):
    parts = masks.polygons(mask)
    assert all(len(ring) >= 4 for part in parts for ring in part)
    np.testing.assert_array_equal(masks.from_polygons(parts, *mask.shape), mask)


def test_holes_and_islands():
    mask = np.zeros((40, 50), np.uint8)
    mask[5:35, 5:45] = 1
    mask[10:30, 10:40] = 0  # a hole
    mask[15:25, 15:35] = 1  # an island in it
    mask[18:20, 20:22] = 0  # with a hole of its own
    mask[0, 0] = 1
    parts = masks.polygons(mask)
    assert sorted(len(part) for part in parts) == [1, 2, 2]
    np.testing.assert_array_equal(masks.from_polygons(parts, 40, 50), mask)


def test_simplified_outlines_stay_within_the_tolerance():
    y, x = np.mgrid[:200, :200]
    disc = (np.hypot(y - 100, x - 90) < 70).astype(np.uint8)
    (exact,), (simple,) = masks.polygons(disc)[0], masks.polygons(disc, tolerance_px=1.0)[0]
    assert len(simple) < len(exact) / 4
    changed = masks.from_polygons([[simple]], 200, 200) != disc
    assert np.abs(np.hypot(y - 100, x - 90) - 70)[changed].max() < 2
    assert changed.sum() < 2 * np.pi * 70


@given(SHAPES, st.data())
def test_a_crop_in_its_place_is_the_whole_mask(shape, data):
    height, width = shape
    h, w = data.draw(st.integers(1, height)), data.draw(st.integers(1, width))
    y, x = data.draw(st.integers(0, height - h)), data.draw(st.integers(0, width - w))
    mask = data.draw(arrays(bool, (h, w)))
    whole = np.zeros(shape, bool)
    whole[y : y + h, x : x + w] = mask
    assert masks.encode_crop(mask, x, y, height, width) == masks.encode(whole)


def test_a_crop_that_does_not_fit_is_refused():
    with pytest.raises(InputError, match="does not fit"):
        masks.encode_crop(np.ones((3, 3)), 3, 0, 5, 5)


@given(SHAPES, st.integers(0, 2**32 - 1))
def test_iou_by_counting(shape, seed):
    a = np.random.default_rng(seed).random((2, *shape)) < 0.5
    b = np.random.default_rng(seed + 1).random((3, *shape)) < 0.5
    found = masks.iou(masks.encode_many(a), masks.encode_many(b))
    assert found.shape == (2, 3)
    for i in range(2):
        for j in range(3):
            union = (a[i] | b[j]).sum()
            assert found[i, j] == pytest.approx((a[i] & b[j]).sum() / union if union else 0)


def test_iou_of_nothing_and_of_two_sizes():
    one, other = masks.encode(np.ones((2, 3))), masks.encode(np.ones((3, 2)))
    assert masks.iou([], [one]).shape == (0, 1)
    with pytest.raises(InputError, match="different sizes"):
        masks.iou([one], [other])
    with pytest.raises(InputError, match="different sizes"):
        masks.decode_many([one, other])


def test_crop_is_a_clipped_view():
    mask = np.arange(30).reshape(5, 6)
    view = masks.crop(mask, (1.5, -3, 4.2, 2))
    np.testing.assert_array_equal(view, mask[:2, 1:5])
    assert view.base is mask.base
    assert masks.crop(mask, (8, 8, 9, 9)).size == 0


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([[1, 2, 3, 4]], "at least 6"),
        ([[1, 2, 3, 4, 5, 6, 7]], "even"),
        ([[1, 2, 3, 4, 5, float("nan")]], "no number"),
        ([[1, 2, 3, 4, 5, 1e12]], "no number, or"),
        ([["a", 2, 3, 4, 5, 6]], "flat list of numbers"),
        ([[[1, 2], [3, 4], [5, 6]]], "shape"),
        ({"size": [4, 5]}, "without"),
        ({"size": [5, 4], "counts": [20]}, "an RLE of size"),
        ({"size": [4, 5], "counts": [3, 4]}, "add up to 7"),
        ({"size": [4, 5], "counts": [21]}, "add up to 21"),
        ({"size": [4, 5], "counts": [-1, 21]}, "negative"),
        ({"size": [4, 5], "counts": [1.5, 18.5]}, "whole numbers"),
        ({"size": [4, 5], "counts": [[1], [2, 3]]}, "whole numbers"),
        ({"size": [4, 5], "counts": []}, "add up to 0"),
        ({"size": [4, 5], "counts": ""}, "add up to 0"),
        ({"size": [4, 5], "counts": "ab cd"}, "characters"),
        ({"size": [4, 5], "counts": "é"}, "characters"),
        ({"size": [4, 5], "counts": "o" * 40}, "cut off"),
        ({"size": [4, 5], "counts": "o" * 40 + "0"}, "longer than any image"),
        ({"size": [0, 5], "counts": []}, "above 0"),
    ],
)
def test_what_is_no_mask_is_refused(segmentation, message):
    with pytest.raises(InputError, match=message):
        masks.to_rle(segmentation, 4, 5)


@given(MASKS, st.data())
def test_a_cut_off_rle_never_decodes(mask, data):
    rle = masks.encode(mask)
    cut = rle["counts"][: data.draw(st.integers(0, len(rle["counts"]) - 1))]
    with pytest.raises(InputError):
        masks.decode({"size": rle["size"], "counts": cut})


@pytest.mark.parametrize("bad", [np.zeros(4), np.zeros((2, 3, 4)), np.zeros((0, 4))])
def test_bitmaps_of_other_shapes_are_refused(bad):
    with pytest.raises(InputError, match="expected"):
        masks.encode(bad)
