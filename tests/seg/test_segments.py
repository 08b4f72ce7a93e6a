"""Segments as crops against whole masks."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from segattr.datasets import masks
from segattr.seg.segments import intersection_px, segment_from_rle

SIZE = (9, 12)
BITS = st.lists(st.booleans(), min_size=SIZE[0] * SIZE[1], max_size=SIZE[0] * SIZE[1])


@settings(max_examples=60, deadline=None)
@given(BITS, BITS)
def test_what_two_segments_share_is_what_their_masks_share(one, other):
    full = [np.array(bits).reshape(SIZE) for bits in (one, other)]
    segments = [segment_from_rle(masks.encode(mask)) for mask in full]
    if all(segment is not None for segment in segments):
        assert intersection_px(*segments) == (full[0] & full[1]).sum()
        assert all((segment.full_mask() == mask).all() for segment, mask in zip(segments, full, strict=True))


def test_segments_apart_share_nothing():
    left, right = np.zeros((2, 10, 10), np.uint8)
    left[:, :4], right[:, 6:] = 1, 1
    assert intersection_px(*(segment_from_rle(masks.encode(mask)) for mask in (left, right))) == 0
