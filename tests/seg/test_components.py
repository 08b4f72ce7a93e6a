"""Instances from probabilities whose answer is known, and against resizing the whole map."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segattr.datasets import masks
from segattr.datasets.errors import InputError
from segattr.seg.components import InstanceOptions, instances_from_label_probabilities, instances_from_probability

# No clean-up at all: every component as it is.
RAW = InstanceOptions(min_area_share=0, min_relative_share=0, min_part_share=0, fill_hole_share=0, merge="none")


def field(*boxes, size=(100, 120), value=0.9):
    """0.05 outside, ``value`` in the boxes xyxy."""
    probability = np.full(size, 0.05, np.float32)
    for x0, y0, x1, y1 in boxes:
        probability[y0:y1, x0:x1] = value
    return probability


def found(probability, size=None, **options):
    return instances_from_probability(probability, size or probability.shape, replace(InstanceOptions(), **options))


def test_one_box_by_hand():
    (segment,) = found(field((10, 20, 50, 80)))
    assert segment.xyxy == (10, 20, 50, 80)
    assert segment.size == (100, 120)
    assert segment.mask.dtype == bool
    assert segment.mask.all()
    assert segment.score == pytest.approx(0.9)
    assert segment.label is None
    assert masks.xywh(segment.rle()) == (10, 20, 40, 60)
    assert segment.rle()["size"] == [100, 120]


def test_nothing_and_everything():
    assert found(np.zeros((5, 6), np.float32)) == []
    assert found(np.full((5, 6), np.nan, np.float32)) == []
    (segment,) = found(np.ones((5, 6), np.float32), size=(50, 61))
    assert segment.xyxy == (0, 0, 61, 50)
    assert segment.mask.all()
    assert segment.score == 1


@given(
    st.tuples(st.integers(1, 30), st.integers(1, 30)),
    st.tuples(st.integers(1, 120), st.integers(1, 120)),
    st.floats(0, 3),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=150, deadline=None)
def test_boxes_alone_give_what_resizing_the_whole_map_gives(small, size, sigma, seed):
    probability = np.random.default_rng(seed).random(small, np.float32)
    if sigma > 0.3:
        probability = cv2.GaussianBlur(probability, (0, 0), sigma)
    whole = cv2.resize(probability, size[::-1], interpolation=cv2.INTER_LINEAR)
    union = np.zeros(size, int)
    for segment in instances_from_probability(probability, size, RAW):
        x0, y0, x1, y1 = segment.xyxy
        assert segment.mask.shape == (y1 - y0, x1 - x0)
        for edge in (segment.mask[0], segment.mask[-1], segment.mask[:, 0], segment.mask[:, -1]):
            assert edge.any()  # the box is tight
        union[y0:y1, x0:x1] += segment.mask
    assert union.max() <= 1
    clear = np.abs(whole - 0.5) > 1e-5
    np.testing.assert_array_equal((union > 0)[clear], (whole >= 0.5)[clear])


def test_the_outline_lies_between_the_maps_pixels():
    # The probabilities are resized, not their mask: a slope crosses 0.5 at the same place at any resolution.
    probability = np.tile(np.linspace(0, 1, 40, dtype=np.float32), (30, 1))
    (segment,) = found(probability, size=(300, 4000))
    assert segment.xyxy == (2000, 0, 4000, 300)


def test_specks_are_dropped():
    big, speck, small = (10, 10, 60, 60), (80, 80, 82, 81), (80, 10, 90, 18)
    probability = field(big, speck, small)
    assert [s.xyxy for s in found(probability, merge="none")] == [big, small]
    assert len(found(probability, merge="none", min_area_share=0.01)) == 1  # 80 of 12,000 px
    assert len(found(probability, merge="none", min_relative_share=0.04)) == 1  # 80 of 2,500 px
    assert len(instances_from_probability(probability, (100, 120), RAW)) == 3


def test_small_holes_are_filled_and_large_ones_stay():
    probability = field((10, 10, 90, 90))
    probability[20:22, 20:22] = 0.1  # 4 of 6,400 px
    probability[40:60, 40:60] = 0.1
    (segment,) = found(probability)
    assert segment.mask[10:12, 10:12].all()
    assert not segment.mask[30:50, 30:50].any()
    assert segment.mask.sum() == 80 * 80 - 400
    # A notch that is open to the rim of the photo is no hole.
    probability = field((0, 10, 90, 90))
    probability[30:32, :2] = 0.1
    assert not found(probability)[0].mask[20:22, :2].any()


def test_a_speck_in_a_filled_hole_does_not_leave_a_hole():
    probability = field((10, 10, 90, 90))
    probability[20:23, 20:23] = 0.1
    probability[21, 21] = 0.9
    assert found(probability)[0].mask.all()


def test_near_components_are_one_product():
    shoes = field((20, 30, 50, 80), (54, 30, 84, 80))  # 4 px apart; the diagonal is 156 px
    assert len(found(shoes, merge="none")) == 2
    (pair,) = found(shoes, merge="near")
    assert pair.xyxy == (20, 30, 84, 80)
    assert not pair.mask[:, 30:34].any()
    assert pair.mask.sum() == 2 * 30 * 50
    assert len(found(shoes, merge="near", near_share=0.02)) == 2  # 3.1 px
    far = field((5, 30, 35, 80), (75, 30, 105, 80))
    assert len(found(far, merge="near")) == 2
    assert len(found(far, merge="all")) == 1


def test_a_chain_of_near_components_is_one_product():
    chain = [(10 + 20 * i, 40, 26 + 20 * i, 60) for i in range(5)]
    assert len(found(field(*chain))) == 1


def test_a_fragment_may_lie_farther_off():
    garment, piece = (10, 10, 60, 60), (69, 30, 79, 40)  # 9 px apart
    assert len(found(field(garment, piece))) == 1
    assert len(found(field(garment, piece), fragment_share=0.01)) == 2
    assert len(found(field(garment, piece), fragment_near_share=0.05)) == 2
    assert len(found(field(garment, (69, 10, 119, 60)))) == 2  # no fragment: as large as the other


def test_a_gap_is_measured_between_pixels_not_boxes():
    # Two L shapes whose boxes overlap, 20 px apart everywhere.
    probability = field((5, 5, 15, 95), (5, 85, 75, 95), (35, 5, 115, 15), (105, 5, 115, 65), (35, 5, 45, 65))
    assert len(found(probability, merge="near")) == 2


def test_segments_come_by_score():
    probability = field((10, 10, 40, 40), value=0.7)
    probability[60:90, 70:100] = 0.95
    assert [round(s.score, 2) for s in found(probability)] == [0.95, 0.7]


def test_noise_ends_soon():
    probability = np.zeros((352, 352), np.float32)
    probability[::4, ::4] = 1
    assert len(found(probability, min_area_share=0.0)) >= 1


def classes(*maps):
    maps = np.stack(maps)
    return np.concatenate([1 - maps.sum(axis=0, keepdims=True).clip(max=1), maps]).astype(np.float32)


def test_several_classes_touch_and_do_not_overlap():
    top, bottom = field((20, 10, 80, 50), value=0.8), field((20, 50, 80, 90), value=0.7)
    segments = instances_from_label_probabilities(classes(top - 0.05, bottom - 0.05), ["shirt", "pants"], (400, 480))
    assert [s.label for s in segments] == ["shirt", "pants"]
    shirt, pants = segments
    assert shirt.score == pytest.approx(0.75, abs=0.01)
    assert shirt.xyxy[3] == pytest.approx(200, abs=3)
    assert pants.xyxy[1] == pytest.approx(200, abs=3)
    union = sum(segment.full_mask().astype(int) for segment in segments)
    assert union.max() == 1


@given(st.integers(1, 5), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_classes_never_overlap_and_at_the_maps_size_the_likeliest_wins(n, seed):
    rng = np.random.default_rng(seed)
    logits = cv2.GaussianBlur(rng.normal(size=(20, 25, n + 1)).astype(np.float32), (0, 0), 1.5).reshape(20, 25, -1) * 9
    probability = np.exp(logits.transpose(2, 0, 1))
    probability /= probability.sum(axis=0)
    names = [f"class {i}" for i in range(n)]
    for size in ((20, 25), (90, 75)):
        segments = instances_from_label_probabilities(probability, names, size, RAW)
        union = sum((s.full_mask().astype(int) for s in segments), np.zeros(size, int))
        assert union.max() <= 1
    label_map = np.zeros((20, 25), int)
    for segment in instances_from_label_probabilities(probability, names, (20, 25), RAW):
        label_map[segment.full_mask() > 0] = names.index(segment.label) + 1
    np.testing.assert_array_equal(label_map, probability.argmax(axis=0))


def test_wrong_input_is_named():
    with pytest.raises(InputError, match="shape"):
        instances_from_probability(np.zeros((1, 4, 5)), (4, 5))
    with pytest.raises(InputError, match="photo of size"):
        instances_from_probability(np.zeros((4, 5)), (0, 5))
    with pytest.raises(InputError, match="2 channels for 2 labels"):
        instances_from_label_probabilities(np.zeros((2, 4, 5)), ["a", "b"], (4, 5))
