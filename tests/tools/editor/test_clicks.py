"""Click-to-segment: drawn scenes whose masks are known; what a person says always holds."""

import cv2
import numpy as np
import pytest

from segattr.datasets.errors import InputError
from segattr.tools.editor.clicks import GrabCut


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def scene(h=300, w=400, seed=0, ground=(205, 200, 190), product=(60, 70, 130)):
    """A bottle shape on mottled ground; (rgb, mask)."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((h, w), np.uint8)
    cv2.ellipse(mask, (w // 2, h // 2), (w // 5, h // 3), 20, 0, 360, 1, -1)
    cv2.rectangle(mask, (w // 2 - w // 20, h // 16), (w // 2 + w // 20, h // 2), 1, -1)
    noise = rng.normal(0, 14, (h, w, 3)) + cv2.resize(rng.normal(0, 10, (h // 20 + 1, w // 20 + 1, 3)), (w, h))
    rgb = np.where(mask[..., None] == 1, product, ground) + noise
    return np.clip(rgb, 0, 255).astype(np.uint8), mask.astype(bool)


def box_of(mask, grow=6):
    x, y, w, h = cv2.boundingRect(mask.astype(np.uint8))
    return (x - grow, y - grow, x + w + grow, y + h + grow)


@pytest.mark.parametrize("size", [(300, 400), (1200, 900)])
def test_a_click_or_a_box_finds_the_product(size):
    rgb, mask = scene(*size)
    centre = (size[1] / 2, size[0] / 2, 1)
    before = rgb.copy()
    for points, box in (([centre], None), ([], box_of(mask)), ([centre], box_of(mask))):
        found = GrabCut().segment(rgb, points, box, None)
        assert found.shape == mask.shape and found.dtype == bool and iou(found, mask) > 0.95
    assert (rgb == before).all()


def test_the_edge_is_found_again_at_full_size():
    rgb, mask = scene(1200, 900)
    found = GrabCut().segment(rgb, [], box_of(mask), None)
    coarse = cv2.resize(cv2.resize(mask.astype(np.uint8) * 255, (192, 256), interpolation=cv2.INTER_AREA), (900, 1200))
    rim = cv2.dilate(mask.astype(np.uint8), np.ones((9, 9))) != cv2.erode(mask.astype(np.uint8), np.ones((9, 9)))
    assert (found != mask)[rim].mean() < max(0.12, ((coarse > 127) != mask)[rim].mean())


def test_the_same_clicks_give_the_same_mask():
    rgb, _ = scene()
    first = GrabCut().segment(rgb, [(200, 150, 1)], None, None)
    cv2.setRNGSeed(99)
    assert (GrabCut().segment(rgb, [(200, 150, 1)], None, None) == first).all()


def test_a_negative_click_takes_a_second_product_away():
    rgb, mask = scene(h=300, w=700)
    other = np.zeros_like(mask)
    other[100:220, 20:120] = True
    rgb[other] = (70, 60, 120)
    both = mask | other
    found = GrabCut().segment(rgb, [], box_of(both), None)
    assert iou(found, both) > 0.9
    corrected = GrabCut().segment(rgb, [(350, 150, 1), (70, 160, 0)], box_of(both), found)
    assert not corrected[160, 70] and iou(corrected, mask) > iou(found, mask)


def test_a_mask_so_far_is_corrected_where_it_is_wrong():
    rgb, mask = scene()
    rough = cv2.dilate(mask.astype(np.uint8), np.ones((25, 25))).astype(bool)
    rough[:, :180] = False
    found = GrabCut().segment(rgb, [(170, 160, 1)], None, rough)
    assert iou(found, mask) > 0.93 > iou(rough, mask)


def test_what_a_person_says_holds():
    rng = np.random.default_rng(5)
    rgb = rng.integers(0, 256, (120, 90, 3), np.uint8)  # nothing to see
    box = (20.4, 10.0, 70.0, 100.0)
    found = GrabCut().segment(rgb, [(30, 30, 1), (60, 80, 1), (40, 60, 0)], box, None)
    assert found[30, 30] and found[80, 60] and not found[60, 40]
    outside = np.ones((120, 90), bool)
    outside[10:100, 20:70] = False
    assert not found[outside].any()


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (3, 3), (40, 2000)])
@pytest.mark.parametrize("shade", [0, 255])
def test_odd_sizes_and_flat_photos(size, shade):
    h, w = size
    rgb = np.full((h, w, 3), shade, np.uint8)
    found = GrabCut().segment(rgb, [(w - 1, h - 1, 1)], None, None)
    assert found.shape == size and found[h - 1, w - 1]
    assert GrabCut().segment(rgb, [(w, h, 1)], None, np.ones(size, bool)).shape == size
    if min(size) > 2:
        assert GrabCut().segment(rgb, [], (0, 0, w, h), None).shape == size


@pytest.mark.parametrize(
    ("points", "box", "mask", "said"),
    [
        ([], None, None, "nothing to go by"),
        ([(5, 5, 0)], None, None, "nothing to go by"),
        ([], None, np.zeros((60, 80), bool), "nothing to go by"),
        ([(81, 5, 1)], None, None, r"point \[81, 5, 1\]"),
        ([(float("nan"), 5, 1)], None, None, "point"),
        ([(5, 5, 2)], None, None, "1 or 0"),
        ([], (5, 5, 6, 6), None, "box"),
        ([], (30, 30, 10, 10), None, "box"),
        ([], (0, 0, 1e6, 50), None, "box"),
        ([], (float("nan"), 0, 5, 5), None, "box"),
        ([(5, 5, 1)], None, np.ones((5, 6), bool), "6 x 5 px on a photo of 80 x 60"),
    ],
)
def test_mistakes_are_told(points, box, mask, said):
    with pytest.raises(InputError, match=said):
        GrabCut().segment(np.zeros((60, 80, 3), np.uint8), points, box, mask)
