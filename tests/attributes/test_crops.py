"""Crops: one geometry, two cutters."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segattr.attributes.crops import _cut_on_device, cut_crops, cut_one, square_around
from segattr.datasets.transforms import GROUND
from segattr.seg.segments import Segment


def smooth_photo(height, width, seed=0):
    rng = np.random.default_rng(seed)
    noise = rng.uniform(0, 255, (height // 8 + 2, width // 8 + 2, 3)).astype(np.float32)
    return np.clip(cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC), 0, 255).astype(np.uint8)


def ellipse(height, width, xyxy):
    x0, y0, x1, y1 = xyxy
    mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
    cv2.ellipse(mask, ((x1 - x0) // 2, (y1 - y0) // 2), ((x1 - x0) // 2, (y1 - y0) // 2), 0, 0, 360, 1, -1)
    return Segment(xyxy, mask.astype(bool), (height, width))


def test_square_is_centred_and_grown():
    assert square_around((10, 20, 50, 40), 0.25) == (0, 0, 60)  # side 40 * 1.5 = 60, centre (30, 30)


def test_unscaled_crop_is_the_photo_itself_and_ground_outside():
    photo = smooth_photo(64, 64)
    segment = Segment((48, 0, 64, 16), np.ones((16, 16), bool), (64, 64))
    crop = cut_one(photo, segment, 32, 0.5)  # square (40, -8, 32): outside above and at the right
    assert np.array_equal(crop[8:32, 0:24, :3], photo[0:24, 40:64])
    assert (crop[:8, :, :3] == GROUND).all() and (crop[:, 24:, :3] == GROUND).all()
    assert crop[8:24, 8:24, 3].min() == 255 and crop[..., 3].astype(int).sum() == 255 * 256


def test_crop_of_a_solid_product_keeps_colour_and_mask_share():
    photo = np.zeros((300, 200, 3), np.uint8)
    segment = ellipse(300, 200, (30, 40, 170, 260))
    photo[40:260, 30:170][segment.mask] = (200, 30, 60)
    crop = cut_one(photo, segment, 96, 0.1)
    inside = crop[..., 3] == 255
    assert (crop[inside][:, :3] == (200, 30, 60)).all()
    side = square_around(segment.xyxy, 0.1)[2]
    assert crop[..., 3].astype(float).mean() / 255 == pytest.approx(segment.mask.sum() / side**2, rel=0.01)


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(st.integers(0, 150), st.integers(0, 150)),
    st.tuples(st.integers(24, 140), st.integers(24, 140)),
    st.sampled_from([0.0, 0.08, 0.3]),
    st.integers(0, 5),
)
def test_both_cutters_agree(corner, extent, grow, seed):
    height, width = 220, 260
    x0, y0 = corner
    xyxy = (x0, y0, min(x0 + extent[0], width), min(y0 + extent[1], height))
    photo, segment = smooth_photo(height, width, seed), ellipse(height, width, xyxy)
    ours = cut_crops([photo], [segment], [0], 64, grow)
    other = _cut_on_device([photo], [segment], [0], 64, grow, torch.device("cpu"))
    assert ours.shape == other.shape == (1, 4, 64, 64) and ours.dtype == other.dtype == torch.uint8
    difference = (ours.float() - other.float()).abs()
    assert difference[:, :3].mean() < 2.5 and difference[:, 3].mean() < 4


def test_crops_of_many_photos_keep_their_order():
    photos = [np.full((50, 80, 3), 10 * i, np.uint8) for i in range(1, 4)]
    segments = [ellipse(50, 80, (10, 10, 40, 40)) for _ in range(5)]
    owner = [2, 0, 1, 0, 2]
    for cut in (
        cut_crops(photos, segments, owner, 16, 0.0),
        _cut_on_device(photos, segments, owner, 16, 0.0, torch.device("cpu")),
    ):
        assert [int(c[0, 8, 8]) for c in cut] == [10 * (i + 1) for i in owner]


def test_no_segments_give_an_empty_batch():
    assert cut_crops([np.zeros((9, 9, 3), np.uint8)], [], [], 32, 0.1).shape == (0, 4, 32, 32)
