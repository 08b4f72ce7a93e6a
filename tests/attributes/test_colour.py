"""Palettes of pictures whose colours are known."""

import io

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from segattr.attributes.colour import palette
from segattr.datasets.errors import InputError

NAVY, WHITE, RED, GREEN = (25, 35, 80), (240, 240, 235), (190, 30, 40), (60, 120, 60)


def lab(colour) -> np.ndarray:
    rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)] if isinstance(colour, str) else colour
    return cv2.cvtColor(np.float32([[rgb]]) / 255, cv2.COLOR_RGB2LAB)[0, 0]


def delta_e(a, b) -> float:
    return float(np.linalg.norm(lab(a) - lab(b)))


def halves(first, second, share=0.5, size=100):
    rgb = np.empty((size, size, 3), np.uint8)
    rgb[:, : round(size * share)], rgb[:, round(size * share) :] = first, second
    return rgb, np.ones((size, size), bool)


@given(st.tuples(*[st.integers(0, 255)] * 3))
@settings(max_examples=50)
def test_a_solid_colour_is_its_own_palette(colour):
    swatches = palette(np.full((20, 30, 3), colour, np.uint8), np.ones((20, 30), bool))
    assert [(s.hex, s.share) for s in swatches] == [("#{:02x}{:02x}{:02x}".format(*colour), 1.0)]


@pytest.mark.parametrize(
    ("first", "second"), [(NAVY, WHITE), (RED, GREEN), (NAVY, (0, 0, 0)), (WHITE, (128, 128, 128))]
)
def test_two_colours_with_their_shares(first, second):
    swatches = palette(*halves(first, second, 0.7))
    assert [s.share for s in swatches] == pytest.approx([0.7, 0.3], abs=0.02)
    assert delta_e(swatches[0].hex, first) < 2
    assert delta_e(swatches[1].hex, second) < 2


def test_shading_is_not_a_second_colour():
    light = np.linspace(0.75, 1.1, 200)[None, :, None]
    rgb = np.clip(np.array([150, 60, 60]) * light * np.ones((150, 1, 1)), 0, 255).astype(np.uint8)
    assert len(palette(rgb, np.ones(rgb.shape[:2]))) == 1


def test_fine_blurred_stripes_are_two_colours():
    rgb = np.zeros((200, 200, 3), np.uint8)
    rgb[:] = np.where(np.arange(200)[:, None, None] // 4 % 2, np.array(NAVY), np.array(WHITE))
    blurred = cv2.GaussianBlur(rgb, (0, 0), 1.5)
    swatches = palette(blurred, np.ones((200, 200)))
    assert len(swatches) >= 2
    assert min(lab(s.hex)[0] for s in swatches) < 40
    assert max(lab(s.hex)[0] for s in swatches) > 65


def test_the_ground_at_the_rim_is_left_out():
    rgb = np.full((120, 120, 3), GREEN, np.uint8)
    rgb[20:100, 20:100] = RED
    mask = np.zeros((120, 120), bool)
    mask[19:101, 19:101] = True  # one pixel too far
    assert [s.hex for s in palette(rgb, mask)] == ["#be1e28"]


def test_a_thin_mask_keeps_its_rim():
    rgb = np.full((50, 50, 3), GREEN, np.uint8)
    rgb[10] = RED
    mask = np.zeros((50, 50), np.uint8)
    mask[10] = 255
    assert [s.hex for s in palette(rgb, mask)] == ["#be1e28"]


def test_empty_mask_single_pixel_and_wrong_shapes():
    rgb = np.full((5, 6, 3), RED, np.uint8)
    assert palette(rgb, np.zeros((5, 6), bool)) == []
    one = np.zeros((5, 6), bool)
    one[2, 3] = True
    assert [(s.hex, s.share) for s in palette(rgb, one)] == [("#be1e28", 1.0)]
    for bad in ((rgb, np.ones((6, 5))), (rgb[..., 0], np.ones((5, 6))), (rgb.astype(float), np.ones((5, 6)))):
        with pytest.raises(InputError, match="expected uint8"):
            palette(*bad)


@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
@settings(max_examples=30)
def test_shares_are_sorted_and_add_up_to_at_most_one(seed, most):
    rng = np.random.default_rng(seed)
    colours = rng.integers(0, 256, (rng.integers(1, 9), 3))
    rgb = colours[rng.integers(0, len(colours), (40, 40))].astype(np.uint8)
    mask = rng.random((40, 40)) < 0.8
    swatches = palette(rgb, mask, most)
    shares = [s.share for s in swatches]
    assert 1 <= len(swatches) <= most
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) <= 1 + 1e-9
    assert palette(rgb, mask, most) == swatches


@pytest.mark.parametrize("scale", [0.5, 0.8, 1.4])
def test_resampling_and_jpeg_hardly_move_the_colours(scale):
    rng = np.random.default_rng(0)
    rgb, mask = halves(NAVY, RED, 0.6, 300)
    light = 1 + 0.15 * cv2.GaussianBlur(rng.standard_normal((300, 300)), (0, 0), 20)[..., None] * 20
    rgb = np.clip(rgb * light + rng.normal(0, 4, rgb.shape), 0, 255).astype(np.uint8)
    small = Image.fromarray(rgb).resize([round(300 * scale)] * 2, Image.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=75)
    again = np.asarray(Image.open(buffer))
    before, after = palette(rgb, mask), palette(again, np.ones(again.shape[:2]))
    for a, b in zip(before[:2], after[:2], strict=True):
        assert delta_e(a.hex, b.hex) < 3
        assert a.share == pytest.approx(b.share, abs=0.05)
